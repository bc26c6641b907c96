/* test_libfcgi.c - params through libfcgi and back, as an environment. */
#include "config.h"

#include "fastcgi/libfcgi.h"

#include <unistd.h>

#include "base/buf.h"
#include "fastcgi/parser.h"
#include "../peer.h"

#include "../unit.h"

#define TEST_NAME "fcgi"

static void
put_len(struct buf *to, size_t len)
{
    unsigned char bytes[4] = {(unsigned char)(0x80 | len >> 24), (unsigned char)(len >> 16),
                              (unsigned char)(len >> 8), (unsigned char)len};

    buf_append(to, len > 127 ? bytes : bytes + 3, len > 127 ? 4 : 1);
}

static void
put_pair(struct buf *to, const char *name, const char *value)
{
    put_len(to, strlen(name));
    put_len(to, strlen(value));
    buf_append_text(to, name);
    buf_append_text(to, value);
}

static struct libfcgi *
make_fcgi(void)
{
    struct error error = {""};
    struct libfcgi *fcgi = libfcgi_new(&error);

    CHECK(fcgi != NULL, "%s\n", error.text);
    return fcgi;
}

/* The value of a variable; NULL when it is not there. */
static const char *
find(const char *const *envp, const char *name)
{
    size_t len = strlen(name);

    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    }
    return NULL;
}

/* libfcgi adds FCGI_ROLE of its own. */
static size_t
count_given(const char *const *envp)
{
    size_t count = 0;

    for (; *envp != NULL; envp++)
        count += strncmp(*envp, "FCGI_ROLE=", 10) != 0;
    return count;
}

static void
test_params_come_back_as_an_environment(void **state)
{
    static const char *const pairs[][2] = {{"REQUEST_METHOD", "GET"},
                                           {"QUERY_STRING", "channel=a&since=1%20x"},
                                           {"EMPTY", ""},
                                           {"REMOTE_USER", "J\xc3\xb6rg = \"x\"\t\x01\xff"},
                                           {"A", "=b=c="},
                                           {"lower case name", "too"}};
    struct libfcgi *fcgi = make_fcgi();
    struct buf params = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++)
        put_pair(&params, pairs[i][0], pairs[i][1]);
    const char *const *envp = libfcgi_params(fcgi, buf_slice(&params));
    assert_non_null(envp);
    assert_int_equal(count_given(envp), COUNT(pairs));
    for (size_t i = 0; i < COUNT(pairs); i++) {
        assert_non_null(find(envp, pairs[i][0]));
        assert_string_equal(find(envp, pairs[i][0]), pairs[i][1]);
    }
    buf_fini(&params);
    libfcgi_free(fcgi);
}

static void
test_no_params_are_an_empty_environment(void **state)
{
    struct libfcgi *fcgi = make_fcgi();

    (void)state;
    const char *const *envp = libfcgi_params(fcgi, (struct slice){"", 0});
    assert_non_null(envp);
    assert_int_equal(count_given(envp), 0);
    libfcgi_free(fcgi);
}

static void
test_values_of_every_length_around_the_long_form(void **state)
{
    static const size_t lens[] = {0,   1,   126,  127,  128,  129,
                                  255, 256, 8191, 8192, 8193, 65000};
    struct libfcgi *fcgi = make_fcgi();

    (void)state;
    for (size_t i = 0; i < COUNT(lens); i++) {
        struct buf params = {0};
        char *value = malloc(lens[i] + 1);
        for (size_t k = 0; k < lens[i]; k++)
            value[k] = (char)('a' + k % 26);
        value[lens[i]] = '\0';
        put_pair(&params, "BEFORE", "1");
        put_pair(&params, "VALUE", value);
        put_pair(&params, "AFTER", "2");
        const char *const *envp = libfcgi_params(fcgi, buf_slice(&params));
        CHECK(envp != NULL, "length %zu\n", lens[i]);
        assert_int_equal(count_given(envp), 3);
        assert_string_equal(find(envp, "VALUE"), value);
        assert_string_equal(find(envp, "AFTER"), "2");
        free(value);
        buf_fini(&params);
    }
    libfcgi_free(fcgi);
}

/* As many as fastcgi/parser.c lets through: one large one, and thousands of small ones. */
static void
test_all_of_64_kib_comes_back(void **state)
{
    struct libfcgi *fcgi = make_fcgi();
    struct buf params = {0};
    size_t count = 0;

    (void)state;
    while (params.len + 12 <= FCGI_PARSER_PARAMS_MAX) {
        char name[8];
        snprintf(name, sizeof name, "N%05zu", count++);
        put_pair(&params, name, "v00");
    }
    while (params.len < FCGI_PARSER_PARAMS_MAX) { /* to the last byte */
        size_t left = FCGI_PARSER_PARAMS_MAX - params.len;
        assert_true(left >= 3);
        put_len(&params, 1);
        put_len(&params, left - 3);
        buf_append_text(&params, "Z");
        for (size_t i = 0; i < left - 3; i++)
            buf_append_text(&params, "z");
        count++;
    }
    assert_int_equal(params.len, FCGI_PARSER_PARAMS_MAX);
    for (int round = 0; round < 3; round++) {
        const char *const *envp = libfcgi_params(fcgi, buf_slice(&params));
        assert_non_null(envp);
        assert_int_equal(count_given(envp), count);
        assert_string_equal(find(envp, "N00000"), "v00");
        assert_non_null(find(envp, "Z"));
    }
    buf_fini(&params);
    libfcgi_free(fcgi);
}

static void
test_many_requests_leave_nothing_behind(void **state)
{
    struct libfcgi *fcgi = make_fcgi();
    size_t descriptors = peer_count_descriptors();

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct buf params = {0};
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        put_pair(&params, "N", value);
        if (i % 3 == 0)
            put_pair(&params, "THIRD", "yes");
        const char *const *envp = libfcgi_params(fcgi, buf_slice(&params));
        assert_non_null(envp);
        assert_string_equal(find(envp, "N"), value);
        assert_int_equal(count_given(envp), i % 3 == 0 ? 2 : 1); /* none of the last one */
        buf_fini(&params);
    }
    assert_int_equal(peer_count_descriptors(), descriptors);
    libfcgi_free(fcgi);
    assert_int_equal(peer_count_descriptors(), descriptors - 2);
}

/* fastcgi/parser.c lets no such params through. Should they come all the same, they may cost
 * their own request (and the two seconds for which libfcgi waits when it closes), and nothing
 * else. */
static void
test_params_that_libfcgi_refuses_harm_no_later_request(void **state)
{
    struct libfcgi *fcgi = make_fcgi();
    size_t descriptors = peer_count_descriptors();
    struct buf params = {0};

    (void)state;
    assert_null(libfcgi_params(fcgi, (struct slice){"\5\5AB", 4}));
    put_pair(&params, "GOOD", "1");
    const char *const *envp = libfcgi_params(fcgi, buf_slice(&params));
    assert_non_null(envp);
    assert_int_equal(count_given(envp), 1);
    assert_string_equal(find(envp, "GOOD"), "1");
    buf_fini(&params);
    assert_int_equal(peer_count_descriptors(), descriptors);
    libfcgi_free(fcgi);
}

/* More than the socket pair holds is refused, not waited for. */
static void
test_more_than_fits_is_refused_at_once(void **state)
{
    struct libfcgi *fcgi = make_fcgi();
    size_t len = 16u << 20;
    char *params = calloc(1, len);
    struct buf good = {0};

    (void)state;
    assert_null(libfcgi_params(fcgi, (struct slice){params, len}));
    put_pair(&good, "GOOD", "1");
    assert_non_null(libfcgi_params(fcgi, buf_slice(&good)));
    buf_fini(&good);
    free(params);
    libfcgi_free(fcgi);
}

static void
test_freeing_nothing_is_fine(void **state)
{
    (void)state;
    libfcgi_free(NULL);
    libfcgi_free(make_fcgi());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params_come_back_as_an_environment),
        cmocka_unit_test(test_no_params_are_an_empty_environment),
        cmocka_unit_test(test_values_of_every_length_around_the_long_form),
        cmocka_unit_test(test_all_of_64_kib_comes_back),
        cmocka_unit_test(test_many_requests_leave_nothing_behind),
        cmocka_unit_test(test_params_that_libfcgi_refuses_harm_no_later_request),
        cmocka_unit_test(test_more_than_fits_is_refused_at_once),
        cmocka_unit_test(test_freeing_nothing_is_fine),
    };

    alarm(60); /* what libfcgi waits for would be waited for in vain */
    return RUN(tests);
}
