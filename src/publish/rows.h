/* rows.h - the body of a POST to rows that the table will take. Pure: no I/O.
 *
 * Strict: what is not understood is refused and named, as a row that lost a misspelt field would
 * go to the wrong readers. */
#ifndef ROWCAST_PUBLISH_ROWS_H
#define ROWCAST_PUBLISH_ROWS_H

#include "base/buf.h"
#include "base/error.h"
#include "event/row.h"

#define PUBLISH_ROWS_MAX 1000 /* in one request */

enum publish_type {
    PUBLISH_FORM, /* application/x-www-form-urlencoded: one row */
    PUBLISH_JSON  /* application/json: an object, or an array of them */
};

enum publish_field {
    PUBLISH_CHANNEL,
    PUBLISH_EVENT,
    PUBLISH_DATA,
    PUBLISH_TO,
    PUBLISH_COLLAPSE_KEY,
    PUBLISH_TTL,
    PUBLISH_FIELDS
};

struct publish_row; /* where its texts stand */

/* Owns its memory. */
struct publish_rows {
    struct buf text; /* of all fields, each with a NUL behind it */
    struct publish_row *items;
    size_t count;
    int64_t now_ms; /* Unix time, for ttl */
};

void publish_rows_init(struct publish_rows *rows, int64_t now_ms);

/* Adds the body's rows. Returns 0, or 400 (503: out of memory) with *error, which names the field
 * and says what to do. Where that is 0 every row satisfies the CHECKs of sql/schema.sql:
 * channel ('default' where none is given), event, recipient and collapse_key are not empty, the
 * first two hold no CR, LF or NUL, the event is none that is reserved; all is UTF-8. */
int publish_rows_parse(struct publish_rows *rows, enum publish_type type, struct slice body,
                       struct error *error);

/* The row as store_insert takes it; its texts are NUL-terminated, and valid as long as rows is not
 * added to. */
void publish_rows_get(const struct publish_rows *rows, size_t index, struct row *row);

void publish_rows_fini(struct publish_rows *rows);

/* --- for the parsers ------------------------------------------------------------------------ */

/* Begins a row. Returns 0, 400 (one too many) or 503. */
int publish_rows_begin(struct publish_rows *rows, struct error *error);

/* Sets a field of the row that was begun last, in UTF-8 without NUL. Returns 0, 400 or 503. */
int publish_rows_set(struct publish_rows *rows, enum publish_field field,
                     struct slice value, struct error *error);

/* The row is whole: is anything missing? */
int publish_rows_end(struct publish_rows *rows, struct error *error);

/* The field of that name. Returns 0, or 400 with *error naming it. */
int publish_field_find(const char *name, enum publish_field *field, struct error *error);
const char *publish_field_name(enum publish_field field);

/* publish/json.c: PUBLISH_JSON's part of publish_rows_parse; the body is valid UTF-8. */
int publish_parse_json(struct publish_rows *rows, struct slice body, struct error *error);

#endif
