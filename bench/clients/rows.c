/* rows.c - the writers of the benches. load.c uses one of them at a time. */
#include "config.h"

#include "rows.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fastcgi.h>
#include <sqlite3.h>

#include "event_line.h"
#include "http_client.h"

#define CHANNEL_MAX 64
#define RECORD_MAX 65535
#define INSERT "INSERT INTO notification(channel, data) VALUES (?, ?)"

struct rows {
    void (*write)(struct rows *rows, int count);
    char channel[CHANNEL_MAX];
    char data[EVENT_DATA_MAX];
    int size, per_record;
    int64_t next;

    sqlite3 *handle;
    sqlite3_stmt *insert, *begin, *commit;
    int fd;             /* of the datagrams or the POSTs */
    const char *target; /* of the POSTs */
    struct sockaddr_un control;
    int64_t fake_id; /* of the events that the trivial responder writes */
    char record[FCGI_HEADER_LEN + RECORD_MAX];
};

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void
fail(const char *format, ...)
{
    va_list args;
    fputs("load: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* The data of the row to come, stamped. */
static void
stamp_data(struct rows *rows)
{
    event_put_digits(rows->data + EVENT_NUMBER_AT, EVENT_NUMBER_LEN, rows->next++);
    event_put_digits(rows->data + EVENT_STAMP_AT, EVENT_STAMP_LEN, now_ns());
}

/* --- a table ------------------------------------------------------------------------- */

static void
step(struct rows *rows, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        fail("%s: %s", sqlite3_sql(statement), sqlite3_errmsg(rows->handle));
    sqlite3_reset(statement);
}

static void
insert_rows(struct rows *rows, int count)
{
    if (count > 1)
        step(rows, rows->begin);
    for (int i = 0; i < count; i++) {
        stamp_data(rows);
        sqlite3_bind_text(rows->insert, 1, rows->channel, -1, SQLITE_STATIC);
        sqlite3_bind_text(rows->insert, 2, rows->data, rows->size, SQLITE_STATIC);
        step(rows, rows->insert);
    }
    if (count > 1)
        step(rows, rows->commit);
}

static void
prepare(struct rows *rows, const char *sql, sqlite3_stmt **statement)
{
    if (sqlite3_prepare_v2(rows->handle, sql, -1, statement, NULL) != SQLITE_OK)
        fail("%s: %s", sql, sqlite3_errmsg(rows->handle));
}

void
rows_sql(struct rows *rows, const char *sql)
{
    if (rows->handle == NULL ||
        sqlite3_exec(rows->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail("%s: %s", sql,
             rows->handle == NULL ? "no database" : sqlite3_errmsg(rows->handle));
}

static struct rows *
rows_new(void (*write)(struct rows *rows, int count))
{
    struct rows *rows = calloc(1, sizeof *rows);

    if (rows == NULL)
        fail("out of memory");
    rows->write = write;
    rows->fd = -1;
    rows->per_record = 1;
    rows->fake_id = 1763769600000;
    memset(rows->data, '~', sizeof rows->data);
    memset(rows->data, ' ', EVENT_FILL_AT);
    rows->data[0] = 'r';
    rows_set_channel(rows, "bench");
    rows_set_size(rows, 100);
    return rows;
}

struct rows *
rows_to_database(const char *path)
{
    struct rows *rows = rows_new(insert_rows);

    if (sqlite3_open(path, &rows->handle) != SQLITE_OK)
        fail("%s: %s", path, sqlite3_errmsg(rows->handle));
    sqlite3_busy_timeout(rows->handle, 10000);
    rows_sql(rows, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    prepare(rows, INSERT, &rows->insert);
    prepare(rows, "BEGIN IMMEDIATE", &rows->begin);
    prepare(rows, "COMMIT", &rows->commit);
    return rows;
}

/* --- the trivial responder ----------------------------------------------------------- */

/* The very bytes that rowcast writes for the row. */
static size_t
put_event(struct rows *rows, char *to)
{
    stamp_data(rows);
    int len = sprintf(to, "id: %lld\ndata: ", (long long)++rows->fake_id);
    memcpy(to + len, rows->data, (size_t)rows->size);
    memcpy(to + len + rows->size, "\n\n", 2);
    return (size_t)(len + rows->size + 2);
}

static void
send_record(struct rows *rows, size_t content)
{
    FCGI_Header header = {.version = FCGI_VERSION_1, .type = FCGI_STDOUT, .requestIdB0 = 1};

    header.contentLengthB1 = (unsigned char)(content >> 8);
    header.contentLengthB0 = (unsigned char)(content & 0xff);
    memcpy(rows->record, &header, sizeof header);
    ssize_t sent = sendto(rows->fd, rows->record, sizeof header + content, 0,
                          (struct sockaddr *)&rows->control, sizeof rows->control);
    if (sent < 0)
        fail("%s: %s", rows->control.sun_path, strerror(errno));
}

static void
send_rows(struct rows *rows, int count)
{
    size_t most = (size_t)rows->size + 64;
    size_t content = 0;
    int events = 0;

    for (int i = 0; i < count; i++) {
        content += put_event(rows, rows->record + FCGI_HEADER_LEN + content);
        if (++events == rows->per_record || content + most > RECORD_MAX) {
            send_record(rows, content);
            content = 0;
            events = 0;
        }
    }
    if (content > 0)
        send_record(rows, content);
}

struct rows *
rows_to_trivial(const char *control)
{
    struct rows *rows = rows_new(send_rows);

    rows->control.sun_family = AF_UNIX;
    if (strlen(control) >= sizeof rows->control.sun_path)
        fail("%s: too long", control);
    memcpy(rows->control.sun_path, control, strlen(control) + 1);
    rows->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (rows->fd < 0)
        fail("socket: %s", strerror(errno));
    return rows;
}

/* --- a peer, by HTTP ----------------------------------------------------------------- */

/* Reads up to the end of the answer: its body is short and comes with the head. */
static void
read_answer(struct rows *rows)
{
    char answer[4096];
    size_t len = 0;

    for (;;) {
        ssize_t got = recv(rows->fd, answer + len, sizeof answer - 1 - len, 0);
        if (got <= 0)
            fail("the peer closed the connection of the POSTs");
        len += (size_t)got;
        answer[len] = '\0';
        const char *body = strstr(answer, "\r\n\r\n");
        if (body == NULL)
            continue;
        if (len < 12 || answer[9] != '2')
            fail("the peer refused a POST: %.40s", answer);
        const char *length = strcasestr(answer, "content-length:");
        size_t want = length == NULL ? 0 : (size_t)strtol(length + 15, NULL, 10);
        if ((size_t)(answer + len - (body + 4)) >= want)
            return;
    }
}

static void
post_rows(struct rows *rows, int count)
{
    char request[512 + EVENT_DATA_MAX];

    for (int i = 0; i < count; i++) {
        stamp_data(rows);
        int head =
            snprintf(request, 512,
                     "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                     "Content-Length: %d\r\n\r\n",
                     rows->target, rows->size);
        memcpy(request + head, rows->data, (size_t)rows->size);
        size_t len = (size_t)head + (size_t)rows->size;
        if (send(rows->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
            fail("POST: %s", strerror(errno));
        read_answer(rows);
    }
}

struct rows *
rows_to_http(int port, const char *target)
{
    struct rows *rows = rows_new(post_rows);
    struct http_client client;

    /* A blocking socket of the same kind. */
    if (http_client_open(&client, port) != 0 || http_client_block(&client) != 0)
        fail("port %d: %s", port, strerror(errno));
    rows->fd = client.fd;
    rows->target = target;
    return rows;
}

/* --- all ----------------------------------------------------------------------------- */

void
rows_set_channel(struct rows *rows, const char *channel)
{
    snprintf(rows->channel, sizeof rows->channel, "%s", channel);
}

void
rows_set_size(struct rows *rows, int data_bytes)
{
    if (data_bytes < EVENT_FILL_AT || data_bytes > EVENT_DATA_MAX - 1024)
        fail("data of %d bytes", data_bytes);
    rows->size = data_bytes;
}

void
rows_set_per_record(struct rows *rows, int events)
{
    rows->per_record = events;
}

void
rows_write(struct rows *rows, int count)
{
    rows->write(rows, count);
}

int64_t
rows_next(const struct rows *rows)
{
    return rows->next;
}

void
rows_set_next(struct rows *rows, int64_t next)
{
    rows->next = next;
}

void
rows_free(struct rows *rows)
{
    if (rows == NULL)
        return;
    sqlite3_finalize(rows->insert);
    sqlite3_finalize(rows->begin);
    sqlite3_finalize(rows->commit);
    sqlite3_close(rows->handle);
    if (rows->fd >= 0)
        close(rows->fd);
    free(rows);
}
