/* test_private.c - a row with a recipient reaches streams of that user and no others, whichever
 * way a stream comes to it. On a real database. */
#include "config.h"

#include "hub/hub.h"

#include "hub_bench.h"

#define TEST_NAME "private"

static bool
sees(struct reader *reader, const char *text)
{
    reader_rows(reader); /* parses */
    return memmem(reader->raw.p, reader->raw.len, text, strlen(text)) != NULL;
}

/* Live, resumed and sought, as stream and as document, for one, for another, for nobody. */
static void
test_a_private_row_reaches_only_its_user(void **state)
{
    static const char *const users[] = {"anna", "bob", NULL};
    static const struct {
        const char *query;
        const char *accept;
    } ways[] = {{"", NULL},
                {"channel=a", NULL},
                {"throttle=10", NULL},
                {"", NDJSON},
                {"envelope=1", NULL},
                {"since=all", NULL},
                {"since=all&channel=a", NDJSON},
                {"channel=%3F&last=100", NULL},
                {"last=1000", NDJSON},
                {"since=all", JSON}};
    static const size_t windows[] = {4 << 20, 1};

    (void)state;
    for (size_t w = 0; w < COUNT(windows); w++) {
        struct stage stage;
        struct reader *readers[COUNT(ways)][COUNT(users)];
        stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = windows[w]}});
        for (int round = 0; round < 2; round++) { /* old rows, then new ones */
            if (round == 1)
                for (size_t i = 0; i < COUNT(ways) * COUNT(users); i++)
                    readers[i / COUNT(users)][i % COUNT(users)] = stage_visit(
                        &stage, &(struct visit){.query = ways[i / COUNT(users)].query,
                                                .accept = ways[i / COUNT(users)].accept,
                                                .user = users[i % COUNT(users)]});
            for (int i = 0; i < 10; i++)
                stage_sql(&stage,
                          "INSERT INTO notification(channel, recipient, data) VALUES"
                          " ('a', 'anna', 'for-anna'), ('a', NULL, 'for-all'),"
                          " ('a', 'bob', 'for-bob'), ('a', 'Anna', 'for-Anna'),"
                          " ('a', '', 'for-nobody')");
            stage_turn(&stage);
        }
        stage_insert(&stage, "a", "the end");
        for (size_t i = 0; i < COUNT(ways) * COUNT(users); i++) {
            struct reader *reader = readers[i / COUNT(users)][i % COUNT(users)];
            const char *user = users[i % COUNT(users)];
            WAIT(&stage, sees(reader, "the end") || reader->at_end);
            assert_true(sees(reader, "for-all"));
            assert_int_equal(sees(reader, "for-anna"),
                             user != NULL && strcmp(user, "anna") == 0);
            assert_int_equal(sees(reader, "for-bob"),
                             user != NULL && strcmp(user, "bob") == 0);
            assert_false(sees(reader, "for-Anna") || sees(reader, "for-nobody"));
        }
        stage_close(&stage);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_private_row_reaches_only_its_user),
    };

    return RUN(tests);
}
