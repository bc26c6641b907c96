/* test_buf.c - the growing buffer. */
#include "config.h"

#include "base/buf.h"

#include "../unit.h"

#define TEST_NAME "buf"

static void
test_appends_in_order(void **state)
{
    struct buf buf = {0};

    (void)state;
    buf_append_text(&buf, "a=");
    buf_append_int(&buf, 12);
    buf_append(&buf, "\0b", 2);
    buf_printf(&buf, "%s-%d", "c", 3);
    assert_false(buf.failed);
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.p, "a=12\0bc-3", 9);
    buf_fini(&buf);
}

static void
test_integers_at_their_limits(void **state)
{
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-1, "-1"},
                 {INT64_MAX, "9223372036854775807"},
                 {INT64_MIN, "-9223372036854775808"},
                 {1000, "1000"}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf buf = {0};
        buf_append_int(&buf, cases[i].value);
        assert_int_equal(buf.len, strlen(cases[i].text));
        assert_memory_equal(buf.p, cases[i].text, buf.len);
        buf_fini(&buf);
    }
}

static void
test_grows_and_keeps_content(void **state)
{
    struct buf buf = {0};

    (void)state;
    for (int i = 0; i < 5000; i++)
        buf_append(&buf, "0123456789", 10);
    assert_int_equal(buf.len, 50000);
    for (size_t i = 0; i < buf.len; i++)
        assert_int_equal(buf.p[i], '0' + (int)(i % 10));
    buf_fini(&buf);
}

static void
test_out_of_memory_is_remembered(void **state)
{
    struct buf buf = {0};

    (void)state;
    buf_append_text(&buf, "a");
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    buf_append_text(&buf, "b");
    assert_int_equal(buf.len, 1);
    buf_clear(&buf);
    assert_false(buf.failed);
    buf_append_text(&buf, "c");
    assert_int_equal(buf.len, 1);
    assert_int_equal(buf.p[0], 'c');
    buf_fini(&buf);
}

static void
test_empty_is_usable(void **state)
{
    struct buf buf = {0};

    (void)state;
    buf_append(&buf, "", 0);
    assert_non_null(buf_slice(&buf).p);
    assert_int_equal(buf_slice(&buf).len, 0);
    assert_non_null(buf_reserve(&buf, 0));
    buf_fini(&buf);
    buf_fini(&buf);
    buf_append_text(&buf, "x");
    assert_int_equal(buf.len, 1);
    buf_fini(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_in_order),
        cmocka_unit_test(test_integers_at_their_limits),
        cmocka_unit_test(test_grows_and_keeps_content),
        cmocka_unit_test(test_out_of_memory_is_remembered),
        cmocka_unit_test(test_empty_is_usable),
    };
    return RUN(tests);
}
