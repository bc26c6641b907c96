/* test_terminal.c - what of a row reaches a terminal. */
#include "config.h"

#include "cmd/terminal.h"

#include "../unit.h"

#define TEST_NAME "terminal"

static void
test_nothing_that_a_terminal_acts_on(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"data: plain\n\tand a tab\n", "data: plain\n\tand a tab\n"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
         "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\x1b]0;title\x07", "\\x1b]0;title\\x07"},
        {"\x1b[2J", "\\x1b[2J"},
        {"a\rb\bc\x7f", "a\\x0db\\x08c\\x7f"},
        {"\x9b"
         "31m",
         "\\x9b31m"}, /* CSI in one byte */
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"}, /* and as U+009B */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xe2\x80\xae"
         "abc",
         "\\xe2\\x80\\xae"
         "abc"}, /* right-to-left override */
        {"\xe2\x81\xa6", "\\xe2\\x81\\xa6"},
        {"\xe2\x80", "\\xe2\\x80"}, /* cut */
        {"\xff\xfe", "\\xff\\xfe"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf out = {0};
        terminal_append(&out, slice_of(cases[i].text));
        buf_append(&out, "", 1);
        assert_string_equal(out.p, cases[i].shown);
        buf_fini(&out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_that_a_terminal_acts_on),
    };

    return RUN(tests);
}
