/* test_access.c - who may read what: the location's bound, the ticket's, and both users. */
#include "config.h"

#include "access/access.h"

#include "../../fuzz/hs256.h"
#include "../unit.h"

#define TEST_NAME "access"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW_MS INT64_C(1800000000000)
#define ENV_MAX 16

/* A request and what became of it. */
struct scene {
    struct request request;
    struct access_rules rules;
    struct error error;
    char variables[ENV_MAX][512];
    size_t count;
};

static void
add_variable(struct scene *scene, const char *name, const char *value)
{
    assert_true(scene->count < ENV_MAX - 1);
    snprintf(scene->variables[scene->count++], sizeof scene->variables[0], "%s=%s", name,
             value);
}

/* A ticket with these claims in the place: "Bearer ", "rowcast_ticket=" or "ticket=". */
static void
add_ticket(struct scene *scene, const char *variable, const char *prefix,
           const char *claims)
{
    char value[400];
    char *text = hs256_token(slice_of("{\"alg\":\"HS256\"}"), slice_of(claims), SECRET);
    snprintf(value, sizeof value, "%s%s", prefix, text);
    add_variable(scene, variable, value);
    free(text);
}

static void
start(struct scene *scene)
{
    struct error error = {""};
    *scene = (struct scene){0};
    scene->rules.keys =
        ticket_keys_parse(slice_of(SECRET), "keys", TICKET_VERIFIES, NULL, &error);
    assert_non_null(scene->rules.keys);
    add_variable(scene, "REQUEST_METHOD", "GET");
}

static int
ask(struct scene *scene)
{
    const char *envp[ENV_MAX] = {NULL};
    for (size_t i = 0; i < scene->count; i++)
        envp[i] = scene->variables[i];
    int status = request_parse(&scene->request, envp, NULL, &scene->error);
    assert_int_equal(status, 0);
    return access_check(&scene->request, &scene->rules, NOW_MS, &scene->error);
}

static void
finish(struct scene *scene)
{
    union {
        const struct ticket_keys *lent;
        struct ticket_keys *ours;
    } keys = {scene->rules.keys};
    request_fini(&scene->request);
    ticket_keys_free(keys.ours);
}

static void
assert_says(const struct scene *scene, const char *text)
{
    CHECK(strstr(scene->error.text, text) != NULL, "\"%s\" does not say \"%s\"\n",
          scene->error.text, text);
}

/* --- tickets -------------------------------------------------------------------------------- */

static void
test_a_ticket_gives_user_bound_and_end(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene);
    add_ticket(&scene, "HTTP_AUTHORIZATION", "Bearer ",
               "{\"sub\":\"alice\",\"channels\":[\"a*\"],\"publish\":[\"p\"],"
               "\"exp\":1800000060}");
    assert_int_equal(ask(&scene), 0);
    const struct request *request = &scene.request;
    assert_string_equal(request->filter.user, "alice");
    assert_true(request->filter.bounded[FILTER_BOUND_TICKET]);
    assert_true(request->expires_at_ms == INT64_C(1800000060000));
    assert_true(request->has_ticket && request->has_ticket_publish);
    assert_string_equal(request->ticket_publish.items[0], "p");
    assert_true(filter_matches(&request->filter, slice_of("ab"), slice_of("alice")));
    assert_false(filter_matches(&request->filter, slice_of("b"), slice_of("alice")));
    assert_false(filter_matches(&request->filter, slice_of("ab"), slice_of("bob")));
    finish(&scene);
}

static void
test_both_bounds_hold(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene);
    add_variable(&scene, "ROWCAST_CHANNELS", "a* b");
    add_ticket(&scene, "HTTP_COOKIE", "rowcast_ticket=", "{\"channels\":[\"*b\"]}");
    assert_int_equal(ask(&scene), 0);
    const struct filter *filter = &scene.request.filter;
    assert_true(filter_bounds_allow(filter, slice_of("ab")));
    assert_true(filter_bounds_allow(filter, slice_of("b")));
    assert_false(filter_bounds_allow(filter, slice_of("a")));
    assert_false(filter_bounds_allow(filter, slice_of("cb")));
    finish(&scene);
}

static void
test_a_ticket_without_channels_sets_no_bound(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene);
    add_ticket(&scene, "QUERY_STRING", "ticket=", "{\"sub\":\"alice\"}");
    assert_int_equal(ask(&scene), 0);
    assert_true(filter_bounds_allow(&scene.request.filter, slice_of("x")));
    finish(&scene);
    start(&scene);
    add_ticket(&scene, "QUERY_STRING", "ticket=", "{\"channels\":[]}");
    assert_int_equal(ask(&scene), 0);
    assert_false(filter_bounds_allow(&scene.request.filter, slice_of("x")));
    finish(&scene);
}

static void
test_a_refused_channel_names_its_bound(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene);
    add_variable(&scene, "QUERY_STRING", "channel=a&channel=z");
    add_ticket(&scene, "HTTP_AUTHORIZATION", "Bearer ", "{\"channels\":[\"a\"]}");
    assert_int_equal(ask(&scene), 403);
    assert_says(&scene, "channel z may not be read with this ticket");
    finish(&scene);
    start(&scene);
    add_variable(&scene, "QUERY_STRING", "channel=z");
    add_variable(&scene, "ROWCAST_CHANNELS", "a");
    add_ticket(&scene, "HTTP_AUTHORIZATION", "Bearer ", "{\"channels\":[\"a\"]}");
    assert_int_equal(ask(&scene), 403);
    assert_says(&scene, "ROWCAST_CHANNELS");
    finish(&scene);
}

static void
test_two_users_must_agree(void **state)
{
    (void)state;
    static const struct {
        const char *remote_user, *claims, *user;
        int status;
    } cases[] = {
        {"", "{\"sub\":\"alice\"}", "alice", 0},
        {"alice", "{\"sub\":\"alice\"}", "alice", 0},
        {"bob", "{}", "bob", 0},
        {"bob", "{\"sub\":\"alice\"}", "bob", 403},
        {"Alice", "{\"sub\":\"alice\"}", "Alice", 403},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        start(&scene);
        add_variable(&scene, "REMOTE_USER", cases[i].remote_user);
        add_ticket(&scene, "HTTP_AUTHORIZATION", "Bearer ", cases[i].claims);
        CHECK(ask(&scene) == cases[i].status, "case %zu: %s\n", i, scene.error.text);
        assert_string_equal(scene.request.filter.user, cases[i].user);
        finish(&scene);
    }
}

static void
test_a_bad_ticket_is_not_passed_over(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene);
    add_variable(&scene, "HTTP_AUTHORIZATION", "Bearer rubbish");
    add_ticket(&scene, "QUERY_STRING", "ticket=", "{\"sub\":\"alice\"}");
    assert_int_equal(ask(&scene), 401);
    assert_says(&scene, "malformed");
    assert_true(scene.request.has_ticket);
    assert_null(scene.request.filter.user);
    finish(&scene);
}

static void
test_without_a_ticket(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene);
    assert_int_equal(ask(&scene), 0);
    finish(&scene);
    start(&scene);
    scene.rules.require_ticket = true;
    add_variable(&scene, "HTTP_AUTHORIZATION", "Basic eDp5");
    add_variable(&scene, "REMOTE_USER", "x");
    assert_int_equal(ask(&scene), 401);
    assert_says(&scene, "a ticket is needed");
    assert_false(scene.request.has_ticket);
    finish(&scene);
}

static void
test_where_tickets_are_not_known(void **state)
{
    (void)state;
    struct scene scene = {0};
    add_variable(&scene, "REQUEST_METHOD", "GET");
    add_variable(&scene, "HTTP_AUTHORIZATION", "Bearer rubbish");
    add_variable(&scene, "HTTP_COOKIE", "rowcast_ticket=a; rowcast_ticket=b");
    assert_int_equal(ask(&scene), 0);
    request_fini(&scene.request);
    add_variable(&scene, "QUERY_STRING", "ticket=rubbish");
    assert_int_equal(ask(&scene), 400);
    assert_says(&scene, "--ticket-key-file");
    request_fini(&scene.request);
}

/* --- the other resources -------------------------------------------------------------------- */

static void
test_other_resources_ask_for_no_ticket(void **state)
{
    (void)state;
    static const struct {
        const char *path, *admin;
        int status;
    } cases[] = {{"/health", "0", 0},
                 {"/metrics", "0", 403},
                 {"/status", "0", 403},
                 {"/metrics", "1", 0},
                 {"/status", "1", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        start(&scene);
        scene.rules.require_ticket = true;
        add_variable(&scene, "PATH_INFO", cases[i].path);
        add_variable(&scene, "ROWCAST_ADMIN", cases[i].admin);
        add_ticket(&scene, "HTTP_AUTHORIZATION", "Bearer ", "{\"sub\":\"root\"}");
        CHECK(ask(&scene) == cases[i].status, "%s: %s\n", cases[i].path, scene.error.text);
        assert_null(scene.request.filter.user);
        finish(&scene);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ticket_gives_user_bound_and_end),
        cmocka_unit_test(test_both_bounds_hold),
        cmocka_unit_test(test_a_ticket_without_channels_sets_no_bound),
        cmocka_unit_test(test_a_refused_channel_names_its_bound),
        cmocka_unit_test(test_two_users_must_agree),
        cmocka_unit_test(test_a_bad_ticket_is_not_passed_over),
        cmocka_unit_test(test_without_a_ticket),
        cmocka_unit_test(test_where_tickets_are_not_known),
        cmocka_unit_test(test_other_resources_ask_for_no_ticket),
    };
    return RUN(tests);
}
