/* test_here.c - who is here: streams to readers, and what of them is a change. */
#include "config.h"

#include "people/here.h"

#include "../unit.h"

#define TEST_NAME "here"

struct scene {
    struct here *here;
    struct patterns channels[3]; /* none; "a" and "b"; "b" */
};

static int
set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct error error;
    scene->here = here_new(&error);
    assert_non_null(scene->here);
    assert_int_equal(patterns_add(&scene->channels[1], slice_of("b")), PATTERNS_OK);
    assert_int_equal(patterns_add(&scene->channels[1], slice_of("a")), PATTERNS_OK);
    assert_int_equal(patterns_add(&scene->channels[2], slice_of("b")), PATTERNS_OK);
    *state = scene;
    return 0;
}

static int
tear_down(void **state)
{
    struct scene *scene = *state;
    for (size_t i = 0; i < COUNT(scene->channels); i++)
        patterns_fini(&scene->channels[i]);
    here_free(scene->here);
    free(scene);
    return 0;
}

static struct here_stream
stream_of(struct scene *scene, const char *user, int channels)
{
    return (struct here_stream){user, "192.0.2.7:80", &scene->channels[channels]};
}

/* Takes the next change and compares it: "key user channels address since streams new". */
static void
expect_change(struct scene *scene, const char *expected)
{
    char text[256];
    bool failed;
    struct here_change *change = here_take(scene->here, &failed);
    assert_false(failed);
    assert_non_null(change);
    snprintf(text, sizeof text, "%s %s %s %s %lld %zu %d", change->key,
             change->user == NULL ? "-" : change->user, change->channels,
             change->address == NULL ? "-" : change->address, (long long)change->since_ms,
             change->streams, change->is_new);
    assert_string_equal(text, expected);
    free(change);
}

static void
expect_no_change(struct scene *scene)
{
    bool failed;
    assert_false(here_has_changes(scene->here));
    assert_null(here_take(scene->here, &failed));
    assert_false(failed);
}

static void
test_streams_of_a_user_are_one_reader(void **state)
{
    struct scene *scene = *state;
    struct here_stream one = stream_of(scene, "ann", 1), two = stream_of(scene, "ann", 2);
    struct here_reader *ann = here_open(scene->here, &one, 1000);
    assert_ptr_equal(here_open(scene->here, &two, 2000), ann);
    expect_change(scene, "user ann ann [\"a\",\"b\"] 192.0.2.7 1000 2 1");
    expect_no_change(scene);
    here_close(scene->here, ann, &one);
    expect_change(scene, "user ann ann [\"b\"] 192.0.2.7 1000 1 0");
    here_close(scene->here, ann, &two);
    assert_int_equal(here_count(scene->here), 0);
    assert_int_equal(here_users(scene->here), 0);
    expect_change(scene, "user ann ann [] 192.0.2.7 1000 0 0");
    expect_no_change(scene);
}

static void
test_streams_without_a_name_are_readers_each(void **state)
{
    struct scene *scene = *state;
    struct here_stream stream = stream_of(scene, NULL, 0);
    struct here_reader *one = here_open(scene->here, &stream, 1000);
    struct here_reader *two = here_open(scene->here, &stream, 2000);
    assert_ptr_not_equal(one, two);
    assert_int_equal(here_count(scene->here), 2);
    assert_int_equal(here_users(scene->here), 0);
    expect_change(scene, "stream 1 - [\"*\"] 192.0.2.7 1000 1 1");
    expect_change(scene, "stream 2 - [\"*\"] 192.0.2.7 2000 1 1");
}

static void
test_a_visit_that_is_over_at_once_is_no_change(void **state)
{
    struct scene *scene = *state;
    struct here_stream stream = stream_of(scene, "ann", 0);
    struct here_reader *ann = here_open(scene->here, &stream, 1000);
    here_close(scene->here, ann, &stream);
    expect_no_change(scene);
    assert_int_equal(here_count(scene->here), 0);
}

static void
test_a_user_who_is_back_at_once_has_begun_again(void **state)
{
    struct scene *scene = *state;
    struct here_stream stream = stream_of(scene, "ann", 0);
    struct here_reader *ann = here_open(scene->here, &stream, 1000);
    expect_change(scene, "user ann ann [\"*\"] 192.0.2.7 1000 1 1");
    here_close(scene->here, ann, &stream);
    assert_ptr_equal(here_open(scene->here, &stream, 3000), ann);
    expect_change(scene, "user ann ann [\"*\"] 192.0.2.7 3000 1 0");
    expect_no_change(scene);
}

static void
test_all_are_changes_again_when_the_table_has_lost_them(void **state)
{
    struct scene *scene = *state;
    struct here_stream stream = stream_of(scene, "ann", 0),
                       other = stream_of(scene, "bob", 0);
    here_open(scene->here, &stream, 1000);
    struct here_reader *bob = here_open(scene->here, &other, 2000);
    expect_change(scene, "user ann ann [\"*\"] 192.0.2.7 1000 1 1");
    expect_change(scene, "user bob bob [\"*\"] 192.0.2.7 2000 1 1");
    here_close(scene->here, bob, &other);
    here_tell_all(scene->here);
    expect_change(scene, "user ann ann [\"*\"] 192.0.2.7 1000 1 1");
    expect_change(scene, "user bob bob [] 192.0.2.7 2000 0 0");
    expect_no_change(scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_streams_of_a_user_are_one_reader, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_streams_without_a_name_are_readers_each,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_visit_that_is_over_at_once_is_no_change,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_user_who_is_back_at_once_has_begun_again,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_all_are_changes_again_when_the_table_has_lost_them, set_up, tear_down),
    };
    return RUN(tests);
}
