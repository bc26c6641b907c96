/* test_feed.c - what a feed says of its database. The rows that it hands out are tested with
 * the hub (hub/test_gaps.c), moved files with store/test_files.c and database.bats. */
#include "config.h"

#include "feed/feed.h"

#include <unistd.h>

#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "feed"

static bool
says(const char *trouble, const char *text)
{
    return trouble != NULL && strstr(trouble, text) != NULL;
}

/* Each commit to a rollback journal locks the others out for a moment. */
static void
test_a_lock_does_not_cover_what_the_table_has_lost(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){.journal = STORE_JOURNAL_KEEP});
    stage_sql(&stage, "DROP INDEX notification_by_channel");
    WAIT(&stage, feed_lasting_trouble(stage.feed) != NULL);
    assert_true(says(feed_lasting_trouble(stage.feed), "lacks"));
    stage_sql(&stage, "BEGIN EXCLUSIVE");
    feed_probe(stage.feed);
    assert_true(says(feed_trouble(stage.feed), "locked"));
    assert_true(says(feed_lasting_trouble(stage.feed), "lacks"));
    assert_false(stage_has_logged(&stage, "locked"));
    stage_sql(&stage, "COMMIT");
    feed_probe(stage.feed);
    assert_null(feed_trouble(stage.feed));
    assert_true(says(feed_lasting_trouble(stage.feed), "lacks"));
    stage_close(&stage);
}

static void
test_a_lock_alone_is_no_trouble_for_a_moment(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){.journal = STORE_JOURNAL_KEEP});
    stage_sql(&stage, "BEGIN EXCLUSIVE");
    feed_probe(stage.feed);
    assert_true(says(feed_trouble(stage.feed), "locked"));
    assert_null(feed_lasting_trouble(stage.feed));
    stage_sql(&stage, "COMMIT");
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lock_does_not_cover_what_the_table_has_lost),
        cmocka_unit_test(test_a_lock_alone_is_no_trouble_for_a_moment),
    };
    return RUN(tests);
}
