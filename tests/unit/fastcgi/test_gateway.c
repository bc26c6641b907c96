/* test_gateway.c - however many connections want something at once, a turn of the loop does a
 * few pieces of work of each kind, and the rest in the next ones. Work is counted, not timed
 * (tests/unit/slow_clock.h). */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../slow_clock.h"
#include "fastcgi/gateway.h"

#include "../peer.h"
#include "../folder.h"
#include "../unit.h"

#define TEST_NAME "gateway"

#define CLIENTS 40
/* With a clock that is over at each look: one piece of work, and its look. */
#define AT_ONCE 1
#define PATIENCE 2000 /* turns */

struct scene {
    uv_loop_t loop;
    struct log log;
    char folder[64];
    struct listeners listeners;
    struct gateway *gateway;
    struct buf answer; /* to each request; empty: "hello" */
    int clients[CLIENTS];
    size_t requests; /* so far */
    size_t waiting;  /* answers that may wait */
    size_t waited;   /* so many of them are out or cut */
    bool refuses;    /* no answer may wait */
};

static void
on_request(void *arg, struct output *output, const char *const *envp,
           const struct request_body *body)
{
    struct scene *scene = arg;
    (void)envp;
    (void)body;
    scene->requests++;
    output->tag = (struct output_tag){7, 8};
    output_answer(output, buf_slice(&scene->answer));
}

static bool
may_wait(void *arg, struct output *output)
{
    struct scene *scene = arg;
    assert_int_equal(output->tag.user, 7);
    assert_int_equal(output->tag.address, 8);
    output->tag.user = 9;
    scene->waiting += !scene->refuses;
    return !scene->refuses;
}

static void
waited(void *arg, struct output *output)
{
    struct scene *scene = arg;
    assert_int_equal(output->tag.user, 9);
    scene->waited++;
}

static void
scene_open(struct scene *scene, uint64_t request_timeout_ms)
{
    struct error error = {""};
    char address[96];
    *scene = (struct scene){0};
    assert_int_equal(folder_make(scene->folder, "gateway"), 0);
    snprintf(address, sizeof address, "unix:%s/sock", scene->folder);
    log_init(&scene->log, LOG_ERROR);
    assert_int_equal(uv_loop_init(&scene->loop), 0);
    assert_int_equal(listeners_open(&scene->listeners, address, 0600, &error), 0);
    struct gateway_config config = {.request_timeout_ms = request_timeout_ms,
                                    .waiting = {may_wait, waited},
                                    .max_conns = CLIENTS,
                                    .log = &scene->log};
    scene->gateway = gateway_new(&scene->loop, &config, on_request, scene, &error);
    assert_non_null(scene->gateway);
    assert_int_equal(gateway_listen(scene->gateway, &scene->listeners, &error), 0);
    buf_append_text(&scene->answer, "hello");
}

static void
scene_close(struct scene *scene)
{
    for (size_t i = 0; i < CLIENTS; i++)
        close(scene->clients[i]);
    gateway_free(scene->gateway);
    listeners_close(&scene->listeners);
    while (uv_run(&scene->loop, UV_RUN_NOWAIT) != 0)
        continue;
    assert_int_equal(uv_loop_close(&scene->loop), 0);
    buf_fini(&scene->answer);
    folder_remove(scene->folder);
}

static void
turn(struct scene *scene)
{
    uv_run(&scene->loop, UV_RUN_NOWAIT);
}

static void
connect_all(struct scene *scene)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.80s/sock", scene->folder);
    for (size_t i = 0; i < CLIENTS; i++) {
        scene->clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_int_equal(
            connect(scene->clients[i], (struct sockaddr *)(void *)&address, sizeof address),
            0);
    }
}

static void
accept_all(struct scene *scene)
{
    connect_all(scene);
    while (gateway_connections(scene->gateway) < CLIENTS)
        turn(scene);
}

/* BEGIN_REQUEST of a responder, without or with FCGI_KEEP_CONN; no params; no STDIN. */
static void
send_request(int client, int keep)
{
    const unsigned char request[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, (unsigned char)keep,
                                     0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0,
                                     0, 0, 1, 5, 0, 1, 0, 0, 0, 0};
    assert_int_equal(write(client, request, sizeof request), sizeof request);
}

/* Turns until the count is all of them; in none it grows by more than AT_ONCE. */
static void
check_count(struct scene *scene, const size_t *count)
{
    slow_clock_start();
    for (int turns = 0; *count < CLIENTS; turns++) {
        size_t before = *count;
        turn(scene);
        CHECK(*count - before <= AT_ONCE, "%zu in one turn\n", *count - before);
        CHECK(turns < PATIENCE, "%zu in %d turns\n", *count, turns);
    }
    slow_clock_stop();
}

static void
check_closing(struct scene *scene)
{
    slow_clock_start();
    for (int turns = 0; gateway_connections(scene->gateway) > 0; turns++) {
        unsigned before = gateway_connections(scene->gateway);
        turn(scene);
        unsigned closed = before - gateway_connections(scene->gateway);
        CHECK(closed <= AT_ONCE, "%u closed in one turn\n", closed);
        CHECK(turns < PATIENCE * 100, "%u left\n", before - closed);
    }
    slow_clock_stop();
}

static void
test_requests_that_come_at_once_are_taken_a_few_in_a_turn(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene, 60000);
    accept_all(&scene);
    for (size_t i = 0; i < CLIENTS; i++)
        send_request(scene.clients[i], 0);
    check_count(&scene, &scene.requests);
    scene_close(&scene);
}

static void
test_connections_that_come_at_once_are_accepted_a_few_in_a_turn(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene, 60000);
    connect_all(&scene);
    slow_clock_start();
    for (int turns = 0; gateway_connections(scene.gateway) < CLIENTS; turns++) {
        unsigned before = gateway_connections(scene.gateway);
        turn(&scene);
        unsigned accepted = gateway_connections(scene.gateway) - before;
        CHECK(accepted <= AT_ONCE, "%u accepted in one turn\n", accepted);
        CHECK(turns < PATIENCE, "%u accepted\n", before);
    }
    slow_clock_stop();
    scene_close(&scene);
}

/* Large answers that wait, whose readers read on all at once. */
static void
test_answers_that_are_taken_at_once_are_flushed_a_few_in_a_turn(void **state)
{
    struct scene scene;
    struct buf read = {0};

    (void)state;
    scene_open(&scene, 60000);
    for (size_t i = 0; i < 20000; i++)
        buf_append_text(&scene.answer, "0123456789012345678901234567890123456789");
    accept_all(&scene);
    for (size_t i = 0; i < CLIENTS; i++)
        send_request(scene.clients[i], 0);
    while (scene.waiting < CLIENTS)
        turn(&scene);
    slow_clock_start();
    for (int turns = 0; scene.waited < CLIENTS; turns++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            buf_clear(&read);
            peer_read(scene.clients[i], &read, 1 << 20);
        }
        size_t before = scene.waited;
        turn(&scene);
        CHECK(scene.waited - before <= AT_ONCE, "%zu in one turn\n", scene.waited - before);
        CHECK(turns < PATIENCE, "%zu in %d turns\n", scene.waited, turns);
    }
    slow_clock_stop();
    buf_fini(&read);
    scene_close(&scene);
}

static void
test_an_answer_that_may_not_wait_is_cut(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene, 60000);
    scene.refuses = true;
    for (size_t i = 0; i < 20000; i++)
        buf_append_text(&scene.answer, "0123456789012345678901234567890123456789");
    accept_all(&scene);
    for (size_t i = 0; i < CLIENTS; i++)
        send_request(scene.clients[i], 1);
    for (int turns = 0; gateway_connections(scene.gateway) > 0; turns++) {
        turn(&scene);
        CHECK(turns < PATIENCE, "%u left\n", gateway_connections(scene.gateway));
    }
    assert_int_equal(scene.waited, 0);
    scene_close(&scene);
}

static void
test_those_that_are_too_slow_are_closed_a_few_in_a_turn(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene, 20);
    accept_all(&scene); /* and they say nothing */
    check_closing(&scene);
    scene_close(&scene);
}

static void
test_connections_that_are_kept_are_closed_a_few_in_a_turn(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene, 60000);
    accept_all(&scene);
    for (size_t i = 0; i < CLIENTS; i++)
        send_request(scene.clients[i], 1);
    while (scene.requests < CLIENTS)
        turn(&scene);
    assert_int_equal(gateway_connections(scene.gateway), CLIENTS);
    gateway_stop(scene.gateway);
    check_closing(&scene);
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_that_come_at_once_are_accepted_a_few_in_a_turn),
        cmocka_unit_test(test_requests_that_come_at_once_are_taken_a_few_in_a_turn),
        cmocka_unit_test(test_answers_that_are_taken_at_once_are_flushed_a_few_in_a_turn),
        cmocka_unit_test(test_an_answer_that_may_not_wait_is_cut),
        cmocka_unit_test(test_those_that_are_too_slow_are_closed_a_few_in_a_turn),
        cmocka_unit_test(test_connections_that_are_kept_are_closed_a_few_in_a_turn),
    };
    return RUN(tests);
}
