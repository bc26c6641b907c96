/* records.h - events packed into FastCGI STDOUT records, ready to be sent.
 *
 * One packing serves every stream of an audience: the record headers carry request id 1,
 * which all web servers use today (fastcgi/output.c rewrites it for one that does not). A record is
 * closed at an event's end where possible, so that a short write costs a stream at most the
 * rest of one record; marks say where each record ends and how far a stream is then. */
#ifndef ROWCAST_FASTCGI_RECORDS_H
#define ROWCAST_FASTCGI_RECORDS_H

#include <stdint.h>

#include "base/buf.h"

#define RECORD_HEADER 8
/* Small enough that fifty stuck readers hold less than 1 MiB, large enough that its header and
 * the web server's work for one record do not show. */
#define RECORD_BODY_MAX 8192

/* An event of which only the first `offset` bytes are out. */
struct cut {
    int64_t id; /* 0: none */
    size_t offset;
    size_t len;    /* of the whole encoded event */
    uint64_t hash; /* of its bytes: so that the rest is the rest of the same event */
};

struct mark {
    size_t end;     /* offset in bytes, just behind a record */
    int64_t cursor; /* the last event that is whole when everything before `end` is out */
    int64_t last_sent_id; /* the last event among them, 0: none; what the client knows */
    size_t events;        /* events that are whole by then */
    struct cut cut;       /* cut.id != 0: the record ends inside this event */
};

struct records {
    struct buf bytes;
    struct mark *marks; /* one for each closed record */
    size_t count, cap;
    size_t open_at; /* offset of the header of the record that is being filled */
    bool open;
    int64_t cursor; /* as it will be at the end of the record being filled */
    int64_t last_sent_id;
    size_t events;
};

/* Empties, keeps the memory. cursor: where a stream stands before the first event. */
void records_start(struct records *records, int64_t cursor);

/* Adds bytes that are no event (headers, the opening block, a gap). */
void records_add_text(struct records *records, struct slice bytes);

/* Adds an event from `offset` on (0: the whole of it); an event over RECORD_BODY_MAX is spread
 * over several records. */
void records_add_event(struct records *records, int64_t id, struct slice event,
                       size_t offset);

/* Moves the cursor on over rows that are not for this audience. */
void records_skip_to(struct records *records, int64_t cursor);

/* Closes the record being filled. Returns 0, or -1 when memory ran out on the way. */
int records_finish(struct records *records);

/* The place of a stream of which the first `taken` bytes are out: a mark, or NULL for the start.
 * taken is the end of a record. */
const struct mark *records_mark(const struct records *records, size_t taken);

/* Appends what the records hold, without their headers. */
void records_append_bodies(const struct records *records, struct buf *to);

void records_fini(struct records *records);

/* FNV-1a's manner, eight bytes at a time: enough to tell an event from a changed one of equal
 * length. */
uint64_t records_hash(struct slice bytes);

/* A record header (FastCGI specification section 3.3) at p. */
void record_put_header(unsigned char *p, int type, uint16_t request_id, size_t body);

#endif
