/* wire.c - the only place that writes to readers: send(2) on sockets, writev(2) for CGI.
 *
 * Nothing is queued here but the rest of the one record in which a write stopped short (the
 * record's length is already promised to the peer) and end-of-request records behind it. */
#include "config.h"

#include "wire.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "records.h"

#define WIRE_IOV_MAX 64

/* What is pushed behind a rest is tiny; a peer that makes us push so much without reading is
 * hostile. A short answer is kept whole, whatever its size. */
#define WIRE_REST_MAX ((size_t)4 * 1024 * 1024)

struct wire_rest {
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
wire_write(const struct wire *wire, const char *p, size_t len)
{
    ssize_t n;
    do {
        n = wire->plain ? write(wire->fd, p, len)
                        : send(wire->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Sends the bodies of the records by one writev; returns how many bytes of `records`, headers
 * counted, that amounts to. */
static ssize_t
wire_write_bodies(const struct wire *wire, struct slice records)
{
    struct iovec iov[WIRE_IOV_MAX];
    int count = 0;
    for (size_t at = 0; at < records.len && count < WIRE_IOV_MAX; count++) {
        size_t len = record_len(records.p + at);
        iov[count].iov_base = (void *)(uintptr_t)(records.p + at + RECORD_HEADER);
        iov[count].iov_len = len - RECORD_HEADER;
        at += len;
    }

    ssize_t n;
    do {
        n = writev(wire->fd, iov, count);
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
wire_keep(struct wire *wire, struct slice bytes)
{
    size_t old = wire->rest == NULL ? 0 : wire->rest->len - wire->rest->off;
    if (old > 0 && old + bytes.len > WIRE_REST_MAX)
        return -1;

    struct wire_rest *rest = malloc(sizeof *rest + old + bytes.len);
    if (rest == NULL)
        return -1;
    rest->len = old + bytes.len;
    rest->off = 0;
    if (old > 0)
        memcpy(rest->bytes, wire->rest->bytes + wire->rest->off, old);
    memcpy(rest->bytes + old, bytes.p, bytes.len);
    free(wire->rest);
    wire->rest = rest;
    return 0;
}

static enum wire_result
wire_send_plain(struct wire *wire, struct slice records, size_t *taken)
{
    size_t out = 0;
    while (out < records.len) {
        ssize_t n =
            wire_write_bodies(wire, (struct slice){records.p + out, records.len - out});
        if (n < 0 && !would_block(errno))
            return WIRE_GONE;
        if (n <= 0)
            break;
        out += (size_t)n;
        size_t end = record_end(records, out);
        if (end != out) {
            *taken = end;
            struct slice left = {records.p + out, end - out};
            return wire_keep(wire, left) == 0 ? WIRE_BLOCKED : WIRE_GONE;
        }
    }
    *taken = out;
    return out == records.len ? WIRE_SENT : WIRE_BLOCKED;
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
static enum wire_result
wire_send_renumbered(struct wire *wire, struct slice records, size_t *taken)
{
    char *copy = malloc(records.len);
    if (copy == NULL)
        return WIRE_GONE;
    memcpy(copy, records.p, records.len);
    records_renumber(copy, records.len, wire->request_id);
    uint16_t id = wire->request_id;
    wire->request_id = 1;
    enum wire_result result = wire_send(wire, (struct slice){copy, records.len}, taken);
    wire->request_id = id;
    free(copy);
    return result;
}

enum wire_result
wire_send(struct wire *wire, struct slice records, size_t *taken)
{
    *taken = 0;
    if (records.len == 0)
        return WIRE_SENT;
    if (wire->rest != NULL)
        return WIRE_BLOCKED; /* nothing may get into the middle of a record */
    if (wire->plain)
        return wire_send_plain(wire, records, taken);
    if (wire->request_id != 1)
        return wire_send_renumbered(wire, records, taken);

    ssize_t n = wire_write(wire, records.p, records.len);
    if (n == (ssize_t)records.len) {
        *taken = records.len;
        return WIRE_SENT;
    }
    if (n < 0)
        return would_block(errno) ? WIRE_BLOCKED : WIRE_GONE;

    size_t end = record_end(records, (size_t)n);
    *taken = end;
    struct slice left = {records.p + n, end - (size_t)n};
    if (left.len > 0 && wire_keep(wire, left) != 0)
        return WIRE_GONE;
    return WIRE_BLOCKED;
}

enum wire_result
wire_flush(struct wire *wire)
{
    struct wire_rest *rest = wire->rest;
    if (rest == NULL)
        return WIRE_SENT;

    ssize_t n = wire_write(wire, rest->bytes + rest->off, rest->len - rest->off);
    if (n < 0)
        return would_block(errno) ? WIRE_BLOCKED : WIRE_GONE;
    rest->off += (size_t)n;
    if (rest->off < rest->len)
        return WIRE_BLOCKED;
    free(rest);
    wire->rest = NULL;
    return WIRE_SENT;
}

enum wire_result
wire_push(struct wire *wire, struct slice record)
{
    size_t out = 0;
    if (wire->rest == NULL) {
        ssize_t n = wire_write(wire, record.p, record.len);
        if (n < 0 && !would_block(errno))
            return WIRE_GONE;
        out = n < 0 ? 0 : (size_t)n;
        if (out == record.len)
            return WIRE_SENT;
    }
    if (wire_keep(wire, (struct slice){record.p + out, record.len - out}) != 0)
        return WIRE_GONE;
    return WIRE_BLOCKED;
}

enum wire_result
wire_end(struct wire *wire)
{
    if (wire->plain)
        return wire_is_clear(wire) ? WIRE_SENT : WIRE_BLOCKED;

    /* appStatus 0 and FCGI_REQUEST_COMPLETE are both zero. */
    unsigned char end[3 * RECORD_HEADER] = {0};
    record_put_header(end, FCGI_STDOUT, wire->request_id, 0);
    record_put_header(end + RECORD_HEADER, FCGI_END_REQUEST, wire->request_id, 8);
    return wire_push(wire, (struct slice){(const char *)end, sizeof end});
}

enum wire_result
wire_push_text(struct wire *wire, struct slice text)
{
    if (wire->plain)
        return wire_push(wire, text);
    enum wire_result result = WIRE_GONE;
    struct records records = {0};
    records_start(&records, 0);
    records_add_text(&records, text);
    if (records_finish(&records) == 0) {
        records_renumber(records.bytes.p, records.bytes.len, wire->request_id);
        result = wire_push(wire, buf_slice(&records.bytes));
    }
    records_fini(&records);
    return result;
}

void
wire_answer(struct wire *wire, struct slice text)
{
    enum wire_result result = wire_push_text(wire, text);
    if (result != WIRE_GONE)
        result = wire_end(wire);
    if (result == WIRE_GONE)
        wire->ops->drop(wire);
    else
        wire->ops->release(wire);
}

size_t
wire_rest_bytes(const struct wire *wire)
{
    return wire->rest == NULL ? 0 : wire->rest->len - wire->rest->off;
}

void
wire_fini(struct wire *wire)
{
    free(wire->rest);
    wire->rest = NULL;
}
