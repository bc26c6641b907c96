/* writing.c - what this process writes into the database: POST, subscriptions, read marks,
 * presence, retention, and the one thread that does it.
 *
 * serve/serve.c calls it at the start, when the process is confined; it also frees what is made
 * here. Each kind of work is a kind of publish/writer.h. */
#include "config.h"

#include "serve/internal.h"

#include "hub/hub.h"
#include "people/presence.h"
#include "people/read_marks.h"
#include "publish/endpoint.h"
#include "publish/writer.h"
#include "push/endpoint.h"
#include "serve/retention.h"

/* What the endpoints have in common. */
static struct request_endpoint_config
serve_endpoint_config(struct serve *serve)
{
    return (struct request_endpoint_config){.loop = &serve->loop,
                                            .writer = serve->writer,
                                            .origins = &serve->settings->cors_origins,
                                            .refusal_log = &serve->refusal_log,
                                            .log = &serve->log};
}

static int
serve_init_publishing(struct serve *serve, struct error *error)
{
    struct hub_counters *counters = &serve->worker->counters[serve->worker->number];
    const struct request_endpoint_config config = serve_endpoint_config(serve);
    const struct publish_counters published = {&counters->publish_requests,
                                               &counters->published_rows};
    serve->endpoint = publish_endpoint_new(&config, published, error);
    return serve->endpoint != NULL ? 0 : -1;
}

static int
serve_init_push(struct serve *serve, struct error *error)
{
    const struct serve_settings *settings = serve->settings;
    const struct request_endpoint_config base = serve_endpoint_config(serve);
    const struct push_endpoint_config config = {
        .public_key = serve->vapid_public,
        .hosts = &settings->push_hosts,
        .max_per_user = settings->max_push_per_user,
        .max_per_address = settings->max_push_per_address,
        .max_of_all = settings->max_push};
    serve->push = push_endpoint_new(&base, &config, error);
    return serve->push != NULL ? 0 : -1;
}

static int
serve_init_read_marks(struct serve *serve, struct error *error)
{
    struct hub_counters *counters = &serve->worker->counters[serve->worker->number];
    const struct request_endpoint_config config = serve_endpoint_config(serve);
    serve->read_marks = read_marks_new(&config, &counters->read_marks, error);
    return serve->read_marks != NULL ? 0 : -1;
}

static int
serve_init_presence(struct serve *serve, struct error *error)
{
    const struct serve_worker *worker = serve->worker;
    struct presence_config config = {.hub = serve->hub,
                                     .writer = serve->writer,
                                     .log = &serve->log,
                                     .channel = serve->settings->presence_channel,
                                     .workers = worker->count,
                                     .users = &worker->counters[worker->number].users,
                                     .name = worker->presence_name};
    struct store *store = feed_store(serve->feed);
    if (store != NULL && presence_check(store, error) != 0)
        return -1;
    serve->presence = presence_new(&serve->loop, &config, error);
    return serve->presence != NULL ? 0 : -1;
}

static uint64_t
serve_lowest_tail(const void *arg)
{
    const struct serve_worker *worker = arg;
    return hub_counters_lowest_tail(worker->counters, worker->count);
}

struct retention_config
serve_retention(const struct serve_settings *settings, const struct serve_worker *worker)
{
    struct hub_counters *counters = &worker->counters[worker->number];
    return (struct retention_config){.path = settings->db,
                                     .table = settings->table,
                                     .keep_age_ms = settings->keep_age_ms,
                                     .keep_rows = settings->keep_rows,
                                     .tail = &counters->tail,
                                     .lowest_tail = serve_lowest_tail,
                                     .arg = worker,
                                     .pruned_rows = &counters->pruned_rows,
                                     .prunes = &counters->prunes};
}

/* Of several workers the first one does it for all; a CGI process is gone too soon. */
static bool
serve_keeps_rows(const struct serve *serve, enum serve_kind kind)
{
    const struct serve_settings *settings = serve->settings;
    return kind == SERVE_FASTCGI && serve->worker->number == 0 &&
           (settings->keep_age_ms != 0 || settings->keep_rows != 0);
}

bool
serve_has_presence(const struct serve *serve)
{
    return serve->settings->presence || serve->settings->presence_channel != NULL;
}

bool
serve_has_read_marks(const struct serve *serve)
{
    return serve->settings->read_marks == SERVE_ON && !serve->settings->read_only;
}

/* The option that wants the database written, for the error when it cannot be. */
static const char *
serve_writing_option(const struct serve_settings *settings)
{
    if (settings->allow_publish)
        return "--allow-publish";
    if (settings->vapid_key_file != NULL)
        return "--vapid-key-file";
    if (settings->presence_channel != NULL)
        return "--presence-channel";
    return settings->presence ? "--presence" : "--keep-age and --keep-rows";
}

int
serve_init_writer(struct serve *serve, enum serve_kind kind, struct error *error)
{
    bool publishes = serve->settings->allow_publish;
    bool keeps_rows = serve_keeps_rows(serve, kind);
    struct writer_config config = {.path = serve->settings->db,
                                   .table = serve->settings->table,
                                   .gate = feed_gate(serve->feed),
                                   .log = &serve->log};
    struct retention_config retention = serve_retention(serve->settings, serve->worker);
    bool marks = serve_has_read_marks(serve);
    bool pushes = serve->settings->vapid_key_file != NULL;
    if (!publishes && !keeps_rows && !marks && !pushes && !serve_has_presence(serve))
        return 0;
    serve->writer = writer_new(&config);
    if (serve->writer == NULL)
        return error_set(error, "out of memory");
    if (publishes && serve_init_publishing(serve, error) != 0)
        return -1;
    if (pushes && serve_init_push(serve, error) != 0)
        return -1;
    if (marks && serve_init_read_marks(serve, error) != 0)
        return -1;
    if (serve_has_presence(serve) && serve_init_presence(serve, error) != 0)
        return -1;
    if (keeps_rows && (serve->retention = retention_new(&retention, serve->writer)) == NULL)
        return error_set(error, "out of memory");
    if (writer_start(serve->writer, error) == 0)
        return 0;
    struct error cause = *error;
    return error_set(error, "%s: %s", serve_writing_option(serve->settings), cause.text);
}
