/* output.c - the only place that writes to readers: send(2) on sockets, writev(2) for CGI.
 *
 * Of rows nothing is queued here but the rest of the one record in which a write stopped short (the
 * record's length is already promised to the peer). What cannot be made again is kept whole:
 * answers, words of our own, the end of a request. */
#include "config.h"

#include "fastcgi/output.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fastcgi/records.h"

#define OUTPUT_IOV_MAX 64

/* A peer that takes nothing while so much is pending and makes us push more is hostile. */
#define OUTPUT_PENDING_MAX ((size_t)4 * 1024 * 1024)

struct output_pending {
    size_t len; /* bytes in all */
    size_t off; /* bytes of them that are out */
    char bytes[];
};

static size_t
record_len(const char *record)
{
    const unsigned char *p = (const unsigned char *)record;
    return RECORD_HEADER + ((size_t)p[4] << 8 | p[5]) + p[6];
}

/* The end of the record in which byte `at` lies; at itself where a record begins there. */
static size_t
record_end(struct slice records, size_t at)
{
    size_t end = 0;
    while (end < at)
        end += record_len(records.p + end);
    return end;
}

static bool
would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM;
}

/* As send(2) without SIGPIPE and without waiting; -1 with errno, never EINTR. */
static ssize_t
output_write(const struct output *output, const char *p, size_t len)
{
    ssize_t n;
    do {
        n = output->plain ? write(output->fd, p, len)
                          : send(output->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Sends the bodies of the records by one writev; returns how many bytes of `records`, headers
 * counted, that amounts to. */
static ssize_t
output_write_bodies(const struct output *output, struct slice records)
{
    struct iovec iov[OUTPUT_IOV_MAX];
    int count = 0;
    for (size_t at = 0; at < records.len && count < OUTPUT_IOV_MAX; count++) {
        size_t len = record_len(records.p + at);
        iov[count].iov_base = (void *)(uintptr_t)(records.p + at + RECORD_HEADER);
        iov[count].iov_len = len - RECORD_HEADER;
        at += len;
    }

    ssize_t n;
    do {
        n = writev(output->fd, iov, count);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n;

    size_t left = (size_t)n;
    size_t out = 0;
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;
        out += RECORD_HEADER + len;
        left -= len;
    }
    return (ssize_t)out;
}

/* Keeps the bytes that the peer was promised. */
static int
output_keep(struct output *output, struct slice bytes)
{
    size_t old = output->pending == NULL ? 0 : output->pending->len - output->pending->off;
    if (old > OUTPUT_PENDING_MAX)
        return -1;

    struct output_pending *pending = malloc(sizeof *pending + old + bytes.len);
    if (pending == NULL)
        return -1;
    pending->len = old + bytes.len;
    pending->off = 0;
    if (old > 0)
        memcpy(pending->bytes, output->pending->bytes + output->pending->off, old);
    memcpy(pending->bytes + old, bytes.p, bytes.len);
    free(output->pending);
    output->pending = pending;
    return 0;
}

static enum output_result
output_send_plain(struct output *output, struct slice records, size_t *taken)
{
    size_t out = 0;
    while (out < records.len) {
        ssize_t n =
            output_write_bodies(output, (struct slice){records.p + out, records.len - out});
        if (n < 0 && !would_block(errno))
            return OUTPUT_GONE;
        if (n <= 0)
            break;
        out += (size_t)n;
        size_t end = record_end(records, out);
        if (end != out) {
            *taken = end;
            struct slice left = {records.p + out, end - out};
            return output_keep(output, left) == 0 ? OUTPUT_BLOCKED : OUTPUT_GONE;
        }
    }
    *taken = out;
    return out == records.len ? OUTPUT_SENT : OUTPUT_BLOCKED;
}

static void
records_renumber(char *records, size_t len, uint16_t request_id)
{
    for (size_t at = 0; at < len; at += record_len(records + at)) {
        records[at + 2] = (char)(request_id >> 8);
        records[at + 3] = (char)(request_id & 0xff);
    }
}

/* The records carry request id 1; this peer uses another. */
static enum output_result
output_send_renumbered(struct output *output, struct slice records, size_t *taken)
{
    char *copy = malloc(records.len);
    if (copy == NULL)
        return OUTPUT_GONE;
    memcpy(copy, records.p, records.len);
    records_renumber(copy, records.len, output->request_id);
    uint16_t id = output->request_id;
    output->request_id = 1;
    enum output_result result =
        output_send(output, (struct slice){copy, records.len}, taken);
    output->request_id = id;
    free(copy);
    return result;
}

enum output_result
output_send(struct output *output, struct slice records, size_t *taken)
{
    *taken = 0;
    if (records.len == 0)
        return OUTPUT_SENT;
    if (output->pending != NULL)
        return OUTPUT_BLOCKED; /* nothing may get into the middle of a record */
    if (output->plain)
        return output_send_plain(output, records, taken);
    if (output->request_id != 1)
        return output_send_renumbered(output, records, taken);

    ssize_t n = output_write(output, records.p, records.len);
    if (n == (ssize_t)records.len) {
        *taken = records.len;
        return OUTPUT_SENT;
    }
    if (n < 0)
        return would_block(errno) ? OUTPUT_BLOCKED : OUTPUT_GONE;

    size_t end = record_end(records, (size_t)n);
    *taken = end;
    struct slice left = {records.p + n, end - (size_t)n};
    if (left.len > 0 && output_keep(output, left) != 0)
        return OUTPUT_GONE;
    return OUTPUT_BLOCKED;
}

enum output_result
output_flush(struct output *output)
{
    struct output_pending *pending = output->pending;
    if (pending == NULL)
        return OUTPUT_SENT;

    ssize_t n =
        output_write(output, pending->bytes + pending->off, pending->len - pending->off);
    if (n < 0)
        return would_block(errno) ? OUTPUT_BLOCKED : OUTPUT_GONE;
    pending->off += (size_t)n;
    if (pending->off < pending->len)
        return OUTPUT_BLOCKED;
    free(pending);
    output->pending = NULL;
    return OUTPUT_SENT;
}

enum output_result
output_push(struct output *output, struct slice record)
{
    size_t out = 0;
    if (output->pending == NULL) {
        ssize_t n = output_write(output, record.p, record.len);
        if (n < 0 && !would_block(errno))
            return OUTPUT_GONE;
        out = n < 0 ? 0 : (size_t)n;
        if (out == record.len)
            return OUTPUT_SENT;
    }
    if (output_keep(output, (struct slice){record.p + out, record.len - out}) != 0)
        return OUTPUT_GONE;
    return OUTPUT_BLOCKED;
}

/* appStatus 0 and FCGI_REQUEST_COMPLETE are both zero. */
static void
put_end(unsigned char end[3 * RECORD_HEADER], uint16_t request_id)
{
    memset(end, 0, 3 * RECORD_HEADER);
    record_put_header(end, FCGI_STDOUT, request_id, 0);
    record_put_header(end + RECORD_HEADER, FCGI_END_REQUEST, request_id, 8);
}

enum output_result
output_end(struct output *output)
{
    unsigned char end[3 * RECORD_HEADER];
    if (output->plain)
        return output_is_clear(output) ? OUTPUT_SENT : OUTPUT_BLOCKED;
    put_end(end, output->request_id);
    return output_push(output, (struct slice){(const char *)end, sizeof end});
}

/* Text as records, with the end of the response behind them or not. */
static enum output_result
output_push_records(struct output *output, struct slice text, struct slice end)
{
    enum output_result result = OUTPUT_GONE;
    struct records records = {0};
    records_start(&records, 0);
    records_add_text(&records, text);
    if (records_finish(&records) == 0) {
        records_renumber(records.bytes.p, records.bytes.len, output->request_id);
        buf_append(&records.bytes, end.p, end.len);
        if (!records.bytes.failed)
            result = output_push(output, buf_slice(&records.bytes));
    }
    records_fini(&records);
    return result;
}

enum output_result
output_push_text(struct output *output, struct slice text)
{
    if (output->plain)
        return output_push(output, text);
    return output_push_records(output, text, (struct slice){"", 0});
}

enum output_result
output_push_answer(struct output *output, struct slice text)
{
    unsigned char end[3 * RECORD_HEADER];
    if (output->plain)
        return output_push(output, text);
    put_end(end, output->request_id);
    return output_push_records(output, text, (struct slice){(const char *)end, sizeof end});
}

void
output_answer(struct output *output, struct slice text)
{
    if (output_push_answer(output, text) == OUTPUT_GONE)
        output_drop(output);
    else
        output_release(output);
}

/* --- owner and connection ------------------------------------------------------------------ */

void
output_set_owner(struct output *output, const struct output_ops *ops, void *owner)
{
    output->ops = ops;
    output->owner = owner;
}

void
output_clear_owner(struct output *output)
{
    output_set_owner(output, NULL, NULL);
}

void
output_arm(struct output *output)
{
    output->transport->arm(output);
}

void
output_disarm(struct output *output)
{
    output->transport->disarm(output);
}

void
output_drop(struct output *output)
{
    output_clear_owner(output);
    output->transport->drop(output);
}

void
output_release(struct output *output)
{
    output_clear_owner(output);
    output->transport->release(output);
}

void
output_finish(struct output *output)
{
    if (output_end(output) == OUTPUT_GONE)
        output_drop(output);
    else
        output_release(output);
}

size_t
output_pending_bytes(const struct output *output)
{
    return output->pending == NULL ? 0 : output->pending->len - output->pending->off;
}

void
output_fini(struct output *output)
{
    free(output->pending);
    output->pending = NULL;
}
