/* test_read_body.c - the body of a POST to /events/read. */
#include "config.h"

#include "people/read_body.h"

#include "../unit.h"

#define TEST_NAME "read_body"

struct sample {
    enum publish_type type;
    const char *body;
    int status;
    int64_t id;
    const char *channel; /* NULL: none */
};

static const struct sample samples[] = {
    {PUBLISH_FORM, "id=7", 0, 7, NULL},
    {PUBLISH_FORM, "id=7&channel=a%20b+c", 0, 7, "a b c"},
    {PUBLISH_FORM, "&channel=a&&id=0000000000000000000000000000007", 0, 7, "a"},
    {PUBLISH_FORM, "id=9007199254740991", 0, INT64_C(9007199254740991), NULL},
    {PUBLISH_FORM, "id=9007199254740992", 400, 0, NULL},
    {PUBLISH_FORM, "id=99999999999999999999999", 400, 0, NULL},
    {PUBLISH_FORM, "", 400, 0, NULL},
    {PUBLISH_FORM, "id", 400, 0, NULL},
    {PUBLISH_FORM, "id=7&id=8", 400, 0, NULL},
    {PUBLISH_FORM, "id=7&channel=a&channel=a", 400, 0, NULL},
    {PUBLISH_FORM, "id=7&user=bob", 400, 0, NULL},
    {PUBLISH_FORM, "id=7&channel=%00", 400, 0, NULL},
    {PUBLISH_FORM, "id=7&channel=%ff", 400, 0, NULL},
    {PUBLISH_FORM, "id=7&channel=a%0d", 400, 0, NULL},
    {PUBLISH_JSON, "{\"id\":\"7\"}", 0, 7, NULL},
    {PUBLISH_JSON, "{\"id\":7,\"channel\":null}", 0, 7, NULL},
    {PUBLISH_JSON, "{\"channel\":\"\\u00e4\",\"id\":\"7\"}", 0, 7, "\xc3\xa4"},
    {PUBLISH_JSON, "{\"id\":7.0}", 400, 0, NULL},
    {PUBLISH_JSON, "{\"id\":-7}", 400, 0, NULL},
    {PUBLISH_JSON, "{\"id\":null}", 400, 0, NULL},
    {PUBLISH_JSON, "{\"id\":\"7\",\"id\":\"7\"}", 400, 0, NULL},
    {PUBLISH_JSON, "{\"id\":\"7\",\"channel\":[]}", 400, 0, NULL},
    {PUBLISH_JSON, "{\"id\":\"7\",\"to\":[]}", 400, 0, NULL},
    {PUBLISH_JSON, "[{\"id\":\"7\"}]", 400, 0, NULL},
    {PUBLISH_JSON, "\"7\"", 400, 0, NULL},
    {PUBLISH_JSON, "{\"id\":", 400, 0, NULL},
    {PUBLISH_JSON, "", 400, 0, NULL},
};

static void
test_each_body_is_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        const struct sample *sample = &samples[i];
        struct read_body read;
        struct error error = {""};
        int status = read_body_parse(&read, sample->type, slice_of(sample->body), &error);
        CHECK(status == sample->status, "%s: %d %s", sample->body, status, error.text);
        CHECK((status != 0) == (error.text[0] != '\0'), "%s: %s", sample->body, error.text);
        if (status == 0) {
            CHECK(read.id == sample->id, "%s", sample->body);
            CHECK((read.channel == NULL) == (sample->channel == NULL), "%s", sample->body);
            if (sample->channel != NULL)
                assert_string_equal(read.channel, sample->channel);
        }
        read_body_fini(&read);
    }
}

static void
test_a_body_that_is_too_long_is_refused(void **state)
{
    char text[READ_BODY_MAX + 2];
    struct read_body read;
    struct error error;
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(read_body_parse(&read, PUBLISH_FORM, slice_of(text), &error), 413);
    read_body_fini(&read);
    assert_int_equal(
        read_body_parse(&read, PUBLISH_FORM, (struct slice){text, READ_BODY_MAX}, &error),
        400);
    read_body_fini(&read);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_body_is_read_or_refused),
        cmocka_unit_test(test_a_body_that_is_too_long_is_refused),
    };
    return RUN(tests);
}
