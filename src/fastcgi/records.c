/* records.c - packs events into FastCGI records (specification sections 3.3 and 5.3).
 *
 * hub/fanout.c fills one `struct records` for each audience and batch, hub/replay_page.c one for
 * each page; fastcgi/output.c sends its bytes, once for each stream. No padding: it is optional,
 * and lighttpd, nginx and Apache gain nothing from it. */
#include "config.h"

#include "fastcgi/records.h"

#include <fastcgi.h>
#include <stdlib.h>

void
record_put_header(unsigned char *p, int type, uint16_t request_id, size_t body)
{
    p[0] = FCGI_VERSION_1;
    p[1] = (unsigned char)type;
    p[2] = (unsigned char)(request_id >> 8);
    p[3] = (unsigned char)(request_id & 0xff);
    p[4] = (unsigned char)(body >> 8);
    p[5] = (unsigned char)(body & 0xff);
    p[6] = 0;
    p[7] = 0;
}

uint64_t
records_hash(struct slice bytes)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ bytes.len;
    uint64_t word;
    for (; bytes.len >= sizeof word; bytes.p += sizeof word, bytes.len -= sizeof word) {
        memcpy(&word, bytes.p, sizeof word);
        hash = (hash ^ word) * UINT64_C(1099511628211);
        hash ^= hash >> 32;
    }
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.p[i]) * UINT64_C(1099511628211);
    return hash;
}

void
records_start(struct records *records, int64_t cursor)
{
    buf_clear(&records->bytes);
    records->count = 0;
    records->open = false;
    records->cursor = cursor;
    records->last_sent_id = 0;
    records->events = 0;
}

static size_t
records_body_len(const struct records *records)
{
    return records->bytes.len - records->open_at - RECORD_HEADER;
}

/* Ends the record being filled; cut says whether it ends inside an event. */
static void
records_close(struct records *records, const struct cut *cut)
{
    if (!records->open || records->bytes.failed)
        return;
    if (records->count == records->cap) {
        size_t cap = records->cap == 0 ? 8 : records->cap * 2;
        struct mark *marks = realloc(records->marks, cap * sizeof *marks);
        if (marks == NULL) {
            records->bytes.failed = true;
            return;
        }
        records->marks = marks;
        records->cap = cap;
    }
    record_put_header((unsigned char *)records->bytes.p + records->open_at, FCGI_STDOUT, 1,
                      records_body_len(records));
    records->marks[records->count++] =
        (struct mark){.end = records->bytes.len,
                      .cursor = records->cursor,
                      .last_sent_id = records->last_sent_id,
                      .events = records->events,
                      .cut = cut != NULL ? *cut : (struct cut){0}};
    records->open = false;
}

static void
records_open(struct records *records)
{
    static const unsigned char blank[RECORD_HEADER];

    records->open_at = records->bytes.len;
    buf_append(&records->bytes, blank, sizeof blank);
    records->open = true;
}

/* Makes sure that a record with room for `len` bytes is open, unless no record has that much. */
static void
records_make_room(struct records *records, size_t len)
{
    if (records->open && records_body_len(records) + len > RECORD_BODY_MAX)
        records_close(records, NULL);
    if (!records->open)
        records_open(records);
}

void
records_add_text(struct records *records, struct slice bytes)
{
    while (bytes.len > 0 && !records->bytes.failed) {
        records_make_room(records,
                          bytes.len < RECORD_BODY_MAX ? bytes.len : RECORD_BODY_MAX);
        size_t room = RECORD_BODY_MAX - records_body_len(records);
        size_t len = bytes.len < room ? bytes.len : room;
        buf_append(&records->bytes, bytes.p, len);
        bytes.p += len;
        bytes.len -= len;
    }
}

/* An event that fills more than one record: each but the last ends with a cut. */
static void
records_add_long(struct records *records, int64_t id, struct slice event, size_t offset)
{
    struct cut cut = {.id = id, .len = event.len, .hash = records_hash(event)};

    if (records->open && records_body_len(records) > 0)
        records_close(records, NULL);
    while (offset < event.len && !records->bytes.failed) {
        size_t len = event.len - offset;
        if (len > RECORD_BODY_MAX)
            len = RECORD_BODY_MAX;
        if (!records->open)
            records_open(records);
        buf_append(&records->bytes, event.p + offset, len);
        offset += len;
        cut.offset = offset;
        if (offset < event.len)
            records_close(records, &cut);
    }
}

void
records_add_event(struct records *records, int64_t id, struct slice event, size_t offset)
{
    /* Rows come in id order: all before this one were written or are not for the audience. */
    records_skip_to(records, id - 1);
    if (event.len - offset > RECORD_BODY_MAX) {
        records_add_long(records, id, event, offset);
    } else if (event.len > offset) { /* an empty record would end the whole response */
        records_make_room(records, event.len - offset);
        buf_append(&records->bytes, event.p + offset, event.len - offset);
    }
    records->cursor = id;
    records->last_sent_id = id;
    records->events++;
}

void
records_skip_to(struct records *records, int64_t cursor)
{
    if (cursor > records->cursor)
        records->cursor = cursor;
}

int
records_finish(struct records *records)
{
    records_close(records, NULL);
    return records->bytes.failed ? -1 : 0;
}

const struct mark *
records_mark(const struct records *records, size_t taken)
{
    const struct mark *found = NULL;
    for (size_t i = 0; i < records->count && records->marks[i].end <= taken; i++)
        found = &records->marks[i];
    return found;
}

void
records_append_bodies(const struct records *records, struct buf *to)
{
    size_t start = 0;
    for (size_t i = 0; i < records->count; i++) {
        size_t end = records->marks[i].end;
        buf_append(to, records->bytes.p + start + RECORD_HEADER,
                   end - start - RECORD_HEADER);
        start = end;
    }
}

void
records_fini(struct records *records)
{
    buf_fini(&records->bytes);
    free(records->marks);
    *records = (struct records){0};
}
