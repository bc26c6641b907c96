/* try.c - `rowcast push --test`; see push/try.h. Called by cmd/push.c. */
#include "config.h"

#include "push/try.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "push/ece.h"
#include "push/service.h"
#include "push/table.h"
#include "push/transport.h"

#define TEST_TEXT                                                                          \
    "{\"id\":\"0\",\"channel\":\"test\",\"event\":\"alert\",\"data\":"                     \
    "\"{\\\"title\\\":\\\"rowcast\\\",\\\"body\\\":\\\"It works.\\\"}\","                  \
    "\"created_at\":null}"

/* The subscription that is meant. */
struct target {
    const char *wanted;
    const struct sender_config *config;
    char *endpoint; /* NULL: not found */
    struct ece_keys keys;
    const struct vapid_key *key;
    struct error error;
};

static void
take(void *arg, const struct push_row *row)
{
    struct target *target = arg;
    char ref[PUSH_REF_MAX];
    if (row->endpoint.p == NULL || target->endpoint != NULL ||
        (strcmp(row->endpoint.p, target->wanted) != 0 &&
         strcmp(push_endpoint_ref(ref, row->endpoint.p), target->wanted) != 0))
        return;
    target->endpoint = strdup(row->endpoint.p);
    ece_keys_parse(&target->keys, row->p256dh, row->auth, &target->error);
    target->key = row->vapid_key.p == NULL
                      ? NULL
                      : vapid_keys_find(target->config->keys, row->vapid_key.p);
}

static int
find(struct target *target, struct error *error)
{
    const struct store_config config = {.path = target->config->path,
                                        .table = target->config->table,
                                        .mode = STORE_READ,
                                        .busy_ms = 5000};
    struct push_scan scan = {.now_ms = clock_unix_ms(), .take = take, .arg = target};
    struct store *store = store_open(&config, NULL, error);
    struct push_table *table = store != NULL ? push_table_open(store, error) : NULL;
    enum store_result result = STORE_FAILED;
    if (table != NULL)
        result = push_table_scan(table, &scan, error);
    push_table_close(table);
    store_close(store);
    if (result != STORE_OK)
        return -1;
    if (target->endpoint == NULL)
        return error_set(error, "there is no such subscription in rowcast_push");
    if (target->error.text[0] != '\0')
        return error_set(error, "%s", target->error.text);
    if (target->key == NULL)
        return error_set(error,
                         "the subscription was made with another VAPID key: the page "
                         "has to subscribe again");
    return 0;
}

struct waiting {
    struct transport *transport;
    struct try_answer *answer;
    bool is_done;
};

static void
on_answer(void *arg, const struct transport_answer *answer)
{
    struct waiting *waiting = arg;
    waiting->answer->status = answer->status;
    snprintf(waiting->answer->why, sizeof waiting->answer->why, "%s", answer->why);
    waiting->is_done = true;
}

static int
send_and_wait(const struct target *target, const struct transport_request *request,
              struct waiting *waiting, struct error *error)
{
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0)
        return error_set(error, "cannot start the event loop");
    waiting->transport = transport_new(&loop, target->config->ca_file, error);
    int result = waiting->transport == NULL ? -1 : 0;
    if (result == 0 && transport_send(waiting->transport, request) != 0)
        result = error_set(error, "out of memory");
    while (result == 0 && !waiting->is_done)
        uv_run(&loop, UV_RUN_ONCE);
    transport_free(waiting->transport);
    uv_run(&loop, UV_RUN_DEFAULT); /* the handles' ends */
    uv_loop_close(&loop);
    return result;
}

static int
try_target(const struct target *target, const struct push_origin *origin,
           struct try_answer *answer, struct error *error)
{
    struct services services = {.keys = target->config->keys,
                                .subject = target->config->subject};
    struct service *service = services_find(&services, origin);
    struct buf body = {0};
    struct waiting waiting = {.answer = answer};
    int result = -1;
    const char *authorization =
        service == NULL
            ? NULL
            : service_authorization(&services, service, target->key, clock_unix_ms());
    const struct transport_request request = {.url = target->endpoint,
                                              .may_be_private = origin->is_own,
                                              .authorization = authorization,
                                              .urgency = "high",
                                              .ttl_s = 60,
                                              .done = on_answer,
                                              .arg = &waiting};
    struct transport_request whole = request;
    if (authorization == NULL)
        error_set(error, "out of memory");
    else
        result = ece_encrypt(&body, &target->keys, slice_of(TEST_TEXT), NULL, error);
    whole.body = buf_slice(&body);
    if (result == 0)
        result = send_and_wait(target, &whole, &waiting, error);
    buf_fini(&body);
    services_fini(&services);
    return result;
}

int
try_endpoint(const struct sender_config *config, const char *endpoint,
             struct try_answer *answer, struct error *error)
{
    struct target target = {.wanted = endpoint, .config = config};
    struct push_origin origin;
    int result = find(&target, error);
    if (result == 0)
        result = push_endpoint_check(target.endpoint, config->hosts, &origin, error);
    if (result == 0)
        result = try_target(&target, &origin, answer, error);
    free(target.endpoint);
    return result;
}
