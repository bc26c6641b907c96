/* test_outcome.c - what the answer to a message changes: cursor, waits, the service's state. The
 * sender is a struct here: no database, no request. */
#include "config.h"

#include "push/outcome.h"

#include "../unit.h"

#define TEST_NAME "outcome"

#define ROW_ID 7

struct scene {
    uv_loop_t loop;
    struct log log;
    struct sender sender;
    struct service service;
    struct subscriber first, second;
    struct subscriber *items[2];
};

static void
subscriber_set_up(struct scene *scene, struct subscriber *subscriber)
{
    static char endpoint[] = "https://push.example.org/1";
    *subscriber = (struct subscriber){.endpoint = endpoint,
                                      .service = &scene->service,
                                      .place = SUBSCRIBER_BUSY,
                                      .cursor = ROW_ID - 1};
    queue_link_init(&subscriber->link);
    queue_link_init(&subscriber->dirty_link);
}

static int
set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_int_equal(uv_loop_init(&scene->loop), 0);
    log_init(&scene->log, LOG_ERROR);
    scene->sender.loop = &scene->loop;
    scene->sender.config.log = &scene->log;
    queue_init(&scene->sender.dirty);
    queue_init(&scene->sender.ended);
    subscriber_set_up(scene, &scene->first);
    subscriber_set_up(scene, &scene->second);
    scene->items[0] = &scene->first;
    scene->items[1] = &scene->second;
    scene->sender.subscribers.items = scene->items;
    scene->sender.subscribers.count = 2;
    *state = scene;
    return 0;
}

static int
tear_down(void **state)
{
    struct scene *scene = *state;
    uv_loop_close(&scene->loop);
    free(scene);
    return 0;
}

static enum push_outcome
answer(struct scene *scene, enum push_length length, const struct transport_answer *answer)
{
    const struct sent sent = {&scene->first, &scene->service, ROW_ID, length};
    scene->first.place = SUBSCRIBER_BUSY;
    return outcome_apply(&scene->sender, &sent, answer);
}

static enum push_outcome
answer_with_status(struct scene *scene, int status)
{
    const struct transport_answer text = {.status = status};
    return answer(scene, PUSH_WHOLE, &text);
}

static void
test_an_accepted_message_moves_the_cursor(void **state)
{
    struct scene *scene = *state;
    scene->first.failures = 3;
    assert_int_equal(answer_with_status(scene, 201), PUSH_SENT);
    assert_int_equal(scene->first.cursor, ROW_ID);
    assert_int_equal(scene->first.failures, 0);
    assert_int_equal(scene->first.place, SUBSCRIBER_IDLE);
    assert_int_equal(scene->sender.counts.sent, 1);
    assert_true(queue_is_linked(&scene->first.dirty_link));
}

static void
test_a_failure_waits_and_leaves_the_cursor(void **state)
{
    static const int statuses[] = {0, 302, 400, 401, 429, 500};
    for (size_t i = 0; i < COUNT(statuses); i++) {
        struct scene *scene = *state;
        subscriber_set_up(scene, &scene->first);
        queue_init(&scene->sender.dirty);
        answer_with_status(scene, statuses[i]);
        CHECK(scene->first.cursor == ROW_ID - 1, "status %d", statuses[i]);
        CHECK(scene->first.failures == 1, "status %d", statuses[i]);
        CHECK(scene->first.due_ms > uv_now(&scene->loop), "status %d", statuses[i]);
        CHECK(scene->first.why[0] != '\0' || statuses[i] == 0, "status %d", statuses[i]);
    }
}

static void
test_a_wait_that_the_service_asks_for_counts(void **state)
{
    struct scene *scene = *state;
    const struct transport_answer busy = {.status = 429, .retry_after = "3600"};
    answer(scene, PUSH_WHOLE, &busy);
    assert_true(scene->first.due_ms >= uv_now(&scene->loop) + 3600 * 1000);
}

static void
test_a_text_that_is_too_long_is_sent_short_at_once(void **state)
{
    struct scene *scene = *state;
    const struct transport_answer too_long = {.status = 413};
    assert_int_equal(answer(scene, PUSH_WHOLE, &too_long), PUSH_TOO_LONG);
    assert_int_equal(scene->first.short_id, ROW_ID);
    assert_int_equal(scene->first.due_ms, 0);
    answer(scene, PUSH_SHORT, &too_long); /* the short one too: it waits */
    assert_int_equal(scene->first.failures, 1);
}

static void
test_a_service_that_works_again_ends_the_waits_of_others(void **state)
{
    struct scene *scene = *state;
    uint64_t now = uv_now(&scene->loop);
    for (int i = 0; i < SERVICE_DOWN_FAILURES; i++)
        answer_with_status(scene, 503);
    assert_true(service_is_down(&scene->service));
    scene->second.waits_for_service = true;
    scene->second.due_ms = now + 900000;
    assert_int_equal(answer_with_status(scene, 201), PUSH_SENT);
    assert_false(service_is_down(&scene->service));
    assert_false(scene->second.waits_for_service);
    assert_true(scene->second.due_ms <= now + 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_accepted_message_moves_the_cursor, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_failure_waits_and_leaves_the_cursor, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_wait_that_the_service_asks_for_counts,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_text_that_is_too_long_is_sent_short_at_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_service_that_works_again_ends_the_waits_of_others, set_up, tear_down),
    };
    return RUN(tests);
}
