/* stage.c - see stage.h. */
#include "config.h"

#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/response.h"
#include "http/request.h"
#include "sse_parser.h"

#include "folder.h"
#include "unit.h"

#define TICK_MS 5
#define SQL_MAX 4096

/* --- the stage ------------------------------------------------------------------------ */

static void
on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static struct store_config
store_config_of(const struct stage *stage, enum store_mode mode)
{
    return (struct store_config){
        .path = stage->path, .mode = mode, .max_event_bytes = 1 << 20};
}

static void
open_database(struct stage *stage, enum store_journal journal)
{
    struct store_config config = store_config_of(stage, STORE_WRITE);
    struct store_init_result result;

    CHECK(store_init(&config, journal, &result, &stage->error) == 0, "%s\n",
          stage->error.text);
    assert_int_equal(sqlite3_open(stage->path, &stage->db), SQLITE_OK);
    sqlite3_busy_timeout(stage->db, 5000);
    stage_sql(stage, "PRAGMA synchronous = OFF");
    stage->base = stage_ask(stage, "SELECT base FROM rowcast_meta");
}

void
stage_start_hub(struct stage *stage, const struct hub_config *given)
{
    struct store_config config = store_config_of(stage, STORE_READ);
    struct hub_config hub = *given;

    if (hub.retry_ms == 0)
        hub.retry_ms = 3000;
    if (hub.max_streams == 0)
        hub.max_streams = STAGE_READERS_MAX;
    hub.max_here = STAGE_READERS_MAX;
    hub.workers = 1;
    hub.counters = &stage->counters;
    stage->counters = (struct hub_counters){0};
    if (hub.window_bytes == 0)
        hub.window_bytes = 4 << 20;
    if (hub.max_event_bytes == 0)
        hub.max_event_bytes = 1 << 20;
    stage->feed = feed_new(&stage->loop, &config, &stage->log, &stage->error);
    CHECK(stage->feed != NULL, "%s\n", stage->error.text);
    stage->hub = hub_new(&stage->loop, stage->feed, &hub, &stage->log, &stage->error);
    CHECK(stage->hub != NULL, "%s\n", stage->error.text);
    int started = feed_start(stage->feed, hub_feed_handlers(), stage->hub, &stage->error);
    CHECK(started == 0, "%s\n", stage->error.text);
}

void
stage_stop_hub(struct stage *stage)
{
    hub_free(stage->hub);
    feed_free(stage->feed);
    stage->hub = NULL;
    stage->feed = NULL;
    stage_step(stage);
}

void
stage_open(struct stage *stage, const struct stage_config *config)
{
    *stage = (struct stage){0};
    assert_int_equal(folder_make(stage->folder, "hub"), 0);
    snprintf(stage->path, sizeof stage->path, "%s/test.db", stage->folder);
    log_init(&stage->log, LOG_DEBUG);
    char log[80];
    snprintf(log, sizeof log, "%s/log", stage->folder);
    log_sink_out_init(&stage->log.out,
                      open(log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    open_database(stage, config->journal);
    assert_int_equal(uv_loop_init(&stage->loop), 0);
    uv_timer_init(&stage->loop, &stage->tick);
    uv_timer_start(&stage->tick, on_tick, TICK_MS, TICK_MS);
    stage_start_hub(stage, &config->hub);
}

static void reader_fini(struct reader *reader);

void
stage_forget_readers(struct stage *stage)
{
    for (size_t i = 0; i < stage->reader_count; i++) {
        struct reader *reader = stage->readers[i];
        reader_hang_up(reader);
        if (!reader->closed)
            output_drop(&reader->output);
    }
    stage_step(stage); /* runs the handles' close callbacks */
    for (size_t i = 0; i < stage->reader_count; i++)
        reader_fini(stage->readers[i]);
    stage->reader_count = 0;
}

void
stage_close(struct stage *stage)
{
    stage_stop_hub(stage);
    stage_forget_readers(stage);
    uv_close((uv_handle_t *)&stage->tick, NULL);
    uv_run(&stage->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&stage->loop), 0); /* no handle was forgotten */
    sqlite3_close(stage->db);
    close(stage->log.out.fd);
    folder_remove(stage->folder);
}

void
stage_sql(struct stage *stage, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *sql = sqlite3_vmprintf(format, args);
    va_end(args);
    int code = sqlite3_exec(stage->db, sql, NULL, NULL, NULL);
    CHECK(code == SQLITE_OK, "%s: %s\n", sql, sqlite3_errmsg(stage->db));
    sqlite3_free(sql);
}

int64_t
stage_ask(struct stage *stage, const char *sql)
{
    sqlite3_stmt *statement;

    CHECK(sqlite3_prepare_v2(stage->db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s\n",
          sql, sqlite3_errmsg(stage->db));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

void
stage_insert(struct stage *stage, const char *channel, const char *data)
{
    stage_sql(stage, "INSERT INTO notification(channel, data) VALUES (%Q, %Q)", channel,
              data);
}

void
stage_put_in_place(struct stage *stage, const char *path)
{
    static const char *const extras[] = {"-wal", "-shm"};

    sqlite3_close(stage->db);
    for (size_t i = 0; i < COUNT(extras); i++) {
        char extra[112];
        snprintf(extra, sizeof extra, "%s%s", stage->path, extras[i]);
        unlink(extra);
    }
    assert_int_equal(rename(path, stage->path), 0);
    assert_int_equal(sqlite3_open(stage->path, &stage->db), SQLITE_OK);
    sqlite3_busy_timeout(stage->db, 5000);
    stage->base = stage_ask(stage, "SELECT base FROM rowcast_meta");
}

void
stage_replace_database(struct stage *stage)
{
    char other[96];
    struct store_config config = store_config_of(stage, STORE_WRITE);
    struct store_init_result result;
    int64_t tail = stage_ask(stage, "SELECT max(id) FROM notification");
    uv_timeval64_t now;

    /* Its ids begin at the Unix time in ms: no test makes rows faster than that for long. */
    while (uv_gettimeofday(&now) == 0 && now.tv_sec * 1000 + now.tv_usec / 1000 <= tail)
        usleep(1000);
    snprintf(other, sizeof other, "%s/other.db", stage->folder);
    config.path = other;
    CHECK(store_init(&config, STORE_JOURNAL_WAL, &result, &stage->error) == 0, "%s\n",
          stage->error.text);
    stage_put_in_place(stage, other);
}

bool
stage_has_logged(const struct stage *stage, const char *text)
{
    struct buf lines = {0};

    lseek(stage->log.out.fd, 0, SEEK_SET);
    peer_read(stage->log.out.fd, &lines, SIZE_MAX);
    bool found = memmem(buf_slice(&lines).p, lines.len, text, strlen(text)) != NULL;
    buf_fini(&lines);
    return found;
}

static void
run_program(struct stage *stage, uv_run_mode mode)
{
    if (stage->on_program != NULL)
        stage->on_program(true);
    uv_run(&stage->loop, mode);
    if (stage->on_program != NULL)
        stage->on_program(false);
}

void
stage_turn(struct stage *stage)
{
    run_program(stage, UV_RUN_ONCE);
    for (size_t i = 0; i < stage->reader_count; i++)
        if (!stage->readers[i]->idle)
            reader_read(stage->readers[i]);
}

void
stage_step(struct stage *stage)
{
    run_program(stage, UV_RUN_NOWAIT);
}

/* --- our end: a small gateway --------------------------------------------------------- */

static struct reader *
reader_of(struct output *output)
{
    return (struct reader *)(void *)((char *)output - offsetof(struct reader, output));
}

static void
on_poll_closed(uv_handle_t *handle)
{
    struct reader *reader = handle->data;

    output_fini(&reader->output);
}

static void
close_our_end(struct reader *reader)
{
    if (reader->closed)
        return;
    reader->closed = true;
    uv_poll_stop(&reader->poll);
    close(reader->output.fd);
    reader->output.fd = -1;
    uv_close((uv_handle_t *)&reader->poll, on_poll_closed);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void
watch(struct reader *reader)
{
    int events = UV_READABLE | (reader->wants_write ? UV_WRITABLE : 0);

    assert_int_equal(uv_poll_start(&reader->poll, events, on_poll), 0);
}

static void
on_arm(struct output *output)
{
    struct reader *reader = reader_of(output);

    assert_false(reader->closed);
    reader->wants_write = true;
    watch(reader);
}

static void
on_disarm(struct output *output)
{
    struct reader *reader = reader_of(output);

    assert_false(reader->closed);
    reader->wants_write = false;
    watch(reader);
}

static void
on_release(struct output *output)
{
    struct reader *reader = reader_of(output);

    assert_false(reader->released || reader->dropped);
    reader->released = true;
    if (output_is_clear(output))
        close_our_end(reader);
    else
        on_arm(output);
}

static void
on_drop(struct output *output)
{
    struct reader *reader = reader_of(output);

    reader->dropped = true;
    close_our_end(reader);
}

/* The peer sends nothing, so what can be read is its end. */
static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct reader *reader = poll->data;

    if (status < 0 || (events & UV_READABLE)) {
        if (reader->output.ops != NULL)
            reader->output.ops->gone(&reader->output, GONE_CLOSED);
        output_clear_owner(&reader->output);
        close_our_end(reader);
        return;
    }
    if (reader->output.ops != NULL)
        reader->output.ops->writable(&reader->output);
    else if (output_flush(&reader->output) != OUTPUT_BLOCKED)
        close_our_end(reader);
}

/* --- coming in ------------------------------------------------------------------------ */

static void
put_variable(char ***at, const char *name, const char *value)
{
    if (value == NULL)
        return;
    size_t size = strlen(name) + strlen(value) + 2;
    **at = malloc(size);
    snprintf(*(*at)++, size, "%s=%s", name, value);
}

static void
open_stream(struct stage *stage, struct reader *reader, struct request *request,
            struct slice headers)
{
    struct hub_request opens = {.format = request->format,
                                .start = request->start,
                                .start_value = request->start_value,
                                .start_text = request->start_text,
                                .client = request->client,
                                .address = request->address,
                                .throttle_ms = request->throttle_ms,
                                .wait_s = request->wait_s,
                                .ping = request->ping,
                                .expires_at_ms = request->expires_at_ms,
                                .tables = {request->states, request->state_count},
                                .headers = headers};
    filter_move(&opens.filter, &request->filter);
    hub_open(stage->hub, &reader->output, &opens);
}

/* As serve/dispatch.c does with a request. */
static void
serve_request(struct stage *stage, struct reader *reader, const char *const *envp)
{
    static const struct text_list no_origins;
    struct request request;
    struct buf headers = {0};

    reader->refused = request_parse(&request, envp, NULL, &stage->error);
    const struct hub_tables tables = {request.states, request.state_count};
    if (reader->refused == 0)
        reader->refused =
            hub_check_tables(stage->hub, &tables, &request.filter, &stage->error);
    if (reader->refused != 0)
        response_append(
            &headers,
            &(struct response){.status = reader->refused, .text = stage->error.text},
            &request, &no_origins);
    else
        response_append_stream_headers(&headers, &request, &no_origins);
    if (headers.failed)
        output_drop(&reader->output);
    else if (reader->refused != 0)
        output_answer(&reader->output, buf_slice(&headers));
    else
        open_stream(stage, reader, &request, buf_slice(&headers));
    request_fini(&request);
    buf_fini(&headers);
}

static void
send_request(struct stage *stage, struct reader *reader, const struct visit *visit)
{
    char *envp[8] = {NULL};
    char **at = envp;

    put_variable(&at, "REQUEST_METHOD", "GET");
    put_variable(&at, "QUERY_STRING", visit->query);
    put_variable(&at, "HTTP_LAST_EVENT_ID", visit->last_event_id);
    put_variable(&at, "HTTP_ACCEPT", visit->accept);
    put_variable(&at, "REMOTE_USER", visit->user);
    put_variable(&at, "REMOTE_ADDR", visit->address);
    if (stage->on_program != NULL)
        stage->on_program(true);
    serve_request(stage, reader, (const char *const *)envp);
    if (stage->on_program != NULL)
        stage->on_program(false);
    else
        CHECK(reader->refused == 0, "%d %s\n", reader->refused, stage->error.text);
    for (char **variable = envp; *variable != NULL; variable++)
        free(*variable);
}

struct reader *
stage_visit(struct stage *stage, const struct visit *visit)
{
    static const struct output_transport transport = {on_arm, on_disarm, on_release,
                                                      on_drop};
    struct reader *reader = calloc(1, sizeof *reader);
    int pair[2];

    assert_true(stage->reader_count < STAGE_READERS_MAX);
    peer_socketpair(pair, visit->send_bytes == 0 ? 1 << 20 : visit->send_bytes);
    reader->stage = stage;
    reader->fd = pair[1];
    reader->idle = visit->idle;
    reader->output = (struct output){
        .transport = &transport,
        .fd = pair[0],
        .request_id = visit->request_id == 0 ? 1 : visit->request_id,
    };
    assert_int_equal(uv_poll_init(&stage->loop, &reader->poll, pair[0]), 0);
    reader->poll.data = reader;
    watch(reader);
    stage->readers[stage->reader_count++] = reader;
    send_request(stage, reader, visit);
    return reader;
}

/* --- the web server's end ------------------------------------------------------------- */

void
reader_hang_up(struct reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    reader->fd = -1;
}

void
reader_stuff(struct reader *reader)
{
    char record[] = {1,
                     6,
                     (char)(reader->output.request_id >> 8),
                     (char)reader->output.request_id,
                     0,
                     3,
                     0,
                     0,
                     ':',
                     '\n',
                     '\n'};

    assert_true(output_is_clear(&reader->output));
    peer_fill(reader->output.fd, (struct slice){record, sizeof record});
}

static void
forget_events(struct reader *reader)
{
    for (size_t i = 0; i < reader->event_count; i++) {
        free(reader->events[i].type);
        free(reader->events[i].data);
    }
    reader->event_count = 0;
}

static char *
text_of(struct slice bytes)
{
    char *text = malloc(bytes.len + 1);

    assert_non_null(text);
    memcpy(text, bytes.p, bytes.len);
    text[bytes.len] = '\0';
    return text;
}

static void
on_event(void *arg, const struct sse_event *event)
{
    struct reader *reader = arg;

    if (reader->event_count == reader->event_cap) {
        reader->event_cap = reader->event_cap == 0 ? 64 : 2 * reader->event_cap;
        reader->events =
            realloc(reader->events, reader->event_cap * sizeof *reader->events);
        assert_non_null(reader->events);
    }
    char *id = text_of(event->id);
    reader->events[reader->event_count++] =
        (struct told){.id = *id == '\0' ? 0 : atoll(id) - reader->stage->base,
                      .type = text_of(event->type),
                      .data = text_of(event->data),
                      .data_len = event->data.len};
    free(id);
}

static void
split_headers(struct reader *reader)
{
    struct slice out = buf_slice(&reader->answer.out);

    reader->headers.p = NULL;
    for (size_t i = 0; i + 4 <= out.len && reader->headers.p == NULL; i++) {
        if (memcmp(out.p + i, "\r\n\r\n", 4) != 0)
            continue;
        reader->headers = (struct slice){out.p, i + 4};
        reader->body = (struct slice){out.p + i + 4, out.len - i - 4};
    }
}

static void
parse(struct reader *reader)
{
    struct sse_parser parser = {0};

    if (reader->parsed == reader->raw.len)
        return;
    reader->parsed = reader->raw.len;
    peer_answer_fini(&reader->answer);
    peer_parse(&reader->answer, buf_slice(&reader->raw), reader->output.request_id);
    CHECK(reader->answer.fault == NULL, "%s\n", reader->answer.fault);
    split_headers(reader);
    forget_events(reader);
    if (reader->headers.p == NULL)
        return;
    sse_parse(&parser, reader->body, on_event, reader);
    reader->retry_ms = parser.retry_ms;
    sse_parser_fini(&parser);
}

void
reader_read(struct reader *reader)
{
    if (reader->fd >= 0 && !reader->at_end)
        reader->at_end = !peer_read(reader->fd, &reader->raw, SIZE_MAX);
}

static bool
is_row(const struct told *told)
{
    return strncmp(told->type, "rowcast:", 8) != 0 ||
           strcmp(told->type, "rowcast:too-large") == 0;
}

size_t
reader_rows(struct reader *reader)
{
    size_t count = 0;

    parse(reader);
    for (size_t i = 0; i < reader->event_count; i++)
        count += is_row(&reader->events[i]);
    return count;
}

bool
reader_has_row(struct reader *reader, const char *data)
{
    parse(reader);
    for (size_t i = 0; i < reader->event_count; i++)
        if (is_row(&reader->events[i]) && strcmp(reader->events[i].data, data) == 0)
            return true;
    return false;
}

bool
reader_has_text(struct reader *reader, const char *text)
{
    parse(reader);
    return reader->headers.p != NULL &&
           memmem(reader->body.p, reader->body.len, text, strlen(text)) != NULL;
}

bool
reader_has_ended(struct reader *reader)
{
    parse(reader);
    return reader->answer.ended;
}

static long long
relative(const struct reader *reader, const char *id)
{
    return atoll(id) - reader->stage->base;
}

static void
append_gap(struct buf *to, const struct reader *reader, const struct told *told)
{
    json_t *object = json_loads(told->data, 0, NULL);
    const char *reason = json_string_value(json_object_get(object, "reason"));
    const char *after = json_string_value(json_object_get(object, "after"));
    const char *resumed_at = json_string_value(json_object_get(object, "resumed_at"));

    CHECK(reason != NULL && after != NULL && resumed_at != NULL, "%s\n", told->data);
    assert_int_equal(relative(reader, resumed_at), told->id); /* the cursor is its id */
    if (strspn(after, "0123456789") == strlen(after))
        buf_printf(to, "gap:%s:%lld-%lld", reason, relative(reader, after),
                   (long long)told->id);
    else
        buf_printf(to, "gap:%s:%s-%lld", reason, after, (long long)told->id);
    json_decref(object);
}

const char *
reader_transcript(struct reader *reader)
{
    static char text[SQL_MAX];
    struct buf buf = {0};

    parse(reader);
    for (size_t i = 0; i < reader->event_count; i++) {
        const struct told *told = &reader->events[i];
        if (i > 0)
            buf_append_text(&buf, " ");
        if (strcmp(told->type, "rowcast:open") == 0)
            buf_printf(&buf, "open:%lld", (long long)told->id);
        else if (strcmp(told->type, "rowcast:gap") == 0)
            append_gap(&buf, reader, told);
        else
            buf_printf(&buf, "%lld:%s:%s", (long long)told->id, told->type, told->data);
    }
    snprintf(text, sizeof text, "%.*s", (int)buf.len, buf_slice(&buf).p);
    buf_fini(&buf);
    return text;
}

static void
reader_fini(struct reader *reader)
{
    forget_events(reader);
    free(reader->events);
    peer_answer_fini(&reader->answer);
    buf_fini(&reader->raw);
    free(reader);
}
