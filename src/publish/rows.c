/* rows.c - rows as they are gathered from a body, and forms.
 *
 * All texts stand in one buffer, which may move while it grows, so rows remember where theirs
 * begin. publish/json.c reads JSON; what a field may hold is said here for both. */
#include "config.h"

#include "publish/rows.h"

#include <stdlib.h>

#include "base/json.h"
#include "http/urlencoded.h"
#include "base/parse_number.h"
#include "event/glob.h"

/* As `rowcast send --ttl`. */
#define TTL_MIN_MS 1000
#define TTL_MAX_MS INT64_C(3153600000000)

struct field_text {
    uint32_t at;
    uint32_t len;
    bool given;
};

struct publish_row {
    struct field_text texts[PUBLISH_FIELDS];
    int64_t expires_at;
};

static const char *const field_names[PUBLISH_FIELDS] = {
    [PUBLISH_CHANNEL] = "channel", [PUBLISH_EVENT] = "event",
    [PUBLISH_DATA] = "data",       [PUBLISH_TO] = "to",
    [PUBLISH_TTL] = "ttl",         [PUBLISH_COLLAPSE_KEY] = "collapse_key",
};

/* --- refusals ------------------------------------------------------------------------ */

static int
out_of_memory(struct error *error)
{
    error_set(error, "out of memory");
    return 503;
}

static int
refuse(enum publish_field field, const char *problem, struct error *error)
{
    error_set(error, "bad field %s: %s", field_names[field], problem);
    return 400;
}

/* --- what a field may hold ----------------------------------------------------------- */

static bool
is_reserved(struct slice event)
{
    return slice_equal(event, slice_of("open")) || slice_equal(event, slice_of("error")) ||
           (event.len >= 8 && memcmp(event.p, "rowcast:", 8) == 0);
}

static bool
has_line_end(struct slice text)
{
    return memchr(text.p, '\r', text.len) != NULL || memchr(text.p, '\n', text.len) != NULL;
}

/* NULL, or what is wrong. An empty text is refused where it is no data: a form that leaves `to`
 * it is not known whether empty means every user or none. */
static const char *
field_problem(enum publish_field field, struct slice value)
{
    if (field == PUBLISH_DATA)
        return NULL;
    if (value.len == 0)
        return "is empty: leave it out, or give it a value";
    if (field != PUBLISH_CHANNEL && field != PUBLISH_EVENT)
        return NULL;
    if (has_line_end(value))
        return "holds a CR or LF: they would end its line in the stream; take them out";
    if (field == PUBLISH_CHANNEL && !glob_can_name(value))
        return "holds a blank, *, ? or [: no bound could name it alone; choose another "
               "name";
    if (field == PUBLISH_EVENT && is_reserved(value))
        return "is open, error, or begins with rowcast:, which are not yours: choose "
               "another name";
    return NULL;
}

static int
set_ttl(const struct publish_rows *rows, struct publish_row *row, const char *value,
        struct error *error)
{
    int64_t ttl_ms;
    char quoted[PARSE_QUOTED_MAX];

    if (parse_age(value, &ttl_ms) != 0 || ttl_ms < TTL_MIN_MS || ttl_ms > TTL_MAX_MS) {
        error_set(error, "bad field ttl: %s is not an age such as 90s, 10m, 2h, 7d",
                  parse_quote(quoted, value));
        return 400;
    }
    row->expires_at = rows->now_ms + ttl_ms;
    return 0;
}

int
publish_rows_set(struct publish_rows *rows, enum publish_field field, struct slice value,
                 struct error *error)
{
    struct publish_row *row = &rows->items[rows->count - 1];
    const char *problem = field_problem(field, value);

    if (row->texts[field].given)
        problem = "is given twice";
    if (problem != NULL)
        return refuse(field, problem, error);
    size_t at = rows->text.len;
    buf_append(&rows->text, value.p, value.len);
    buf_append(&rows->text, "", 1);
    if (rows->text.failed || rows->text.len > UINT32_MAX)
        return out_of_memory(error);
    row->texts[field] = (struct field_text){(uint32_t)at, (uint32_t)value.len, true};
    return field == PUBLISH_TTL ? set_ttl(rows, row, rows->text.p + at, error) : 0;
}

/* --- rows ---------------------------------------------------------------------------- */

void
publish_rows_init(struct publish_rows *rows, int64_t now_ms)
{
    *rows = (struct publish_rows){.now_ms = now_ms};
}

void
publish_rows_fini(struct publish_rows *rows)
{
    buf_fini(&rows->text);
    free(rows->items);
    *rows = (struct publish_rows){.count = 0};
}

int
publish_rows_begin(struct publish_rows *rows, struct error *error)
{
    if (rows->count == PUBLISH_ROWS_MAX) {
        error_set(error, "more than %d rows in a request: send several", PUBLISH_ROWS_MAX);
        return 400;
    }
    /* Doubled where the count is a power of two. */
    if ((rows->count & (rows->count - 1)) == 0) {
        size_t room = rows->count == 0 ? 1 : 2 * rows->count;
        struct publish_row *items = realloc(rows->items, room * sizeof *items);
        if (items == NULL)
            return out_of_memory(error);
        rows->items = items;
    }
    rows->items[rows->count++] = (struct publish_row){.expires_at = 0};
    return 0;
}

int
publish_rows_end(struct publish_rows *rows, struct error *error)
{
    if (rows->items[rows->count - 1].texts[PUBLISH_DATA].given)
        return 0;
    return refuse(PUBLISH_DATA, "is missing; it may be empty", error);
}

static struct slice
row_text(const struct publish_rows *rows, size_t index, enum publish_field field)
{
    const struct field_text *text = &rows->items[index].texts[field];
    return text->given ? (struct slice){rows->text.p + text->at, text->len}
                       : (struct slice){NULL, 0};
}

void
publish_rows_get(const struct publish_rows *rows, size_t index, struct row *row)
{
    struct slice channel = row_text(rows, index, PUBLISH_CHANNEL);
    *row = (struct row){.channel = channel.p != NULL ? channel : slice_of("default"),
                        .event = row_text(rows, index, PUBLISH_EVENT),
                        .data = row_text(rows, index, PUBLISH_DATA),
                        .recipient = row_text(rows, index, PUBLISH_TO),
                        .collapse_key = row_text(rows, index, PUBLISH_COLLAPSE_KEY),
                        .expires_at = rows->items[index].expires_at};
}

/* --- fields by name ------------------------------------------------------------------ */

const char *
publish_field_name(enum publish_field field)
{
    return field_names[field];
}

int
publish_field_find(const char *name, enum publish_field *field, struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];

    for (int i = 0; i < PUBLISH_FIELDS; i++) {
        if (strcmp(field_names[i], name) == 0) {
            *field = (enum publish_field)i;
            return 0;
        }
    }
    error_set(error,
              "unknown field %s: there are channel, event, data, to, collapse_key and ttl",
              parse_quote(quoted, name));
    return 400;
}

/* --- forms ---------------------------------------------------------------------------- */

static int
refuse_escape(struct error *error)
{
    error_set(error, "the form has a broken %% escape, or a NUL, in it");
    return 400;
}

/* One pair of the form; `decoded` has room for it. */
static int
parse_pair(struct publish_rows *rows, const struct urlencoded_pair *pair, char *decoded,
           struct error *error)
{
    enum publish_field field = PUBLISH_CHANNEL;

    if (urlencoded_decode(decoded, pair->name) != 0)
        return refuse_escape(error);
    int status = publish_field_find(decoded, &field, error);
    if (status != 0)
        return status;
    if (urlencoded_decode(decoded, pair->value) != 0)
        return refuse_escape(error);
    if (!utf8_is_valid(slice_of(decoded)))
        return refuse(field, "is not UTF-8", error);
    return publish_rows_set(rows, field, slice_of(decoded), error);
}

static int
parse_form(struct publish_rows *rows, struct slice body, struct error *error)
{
    struct urlencoded_pair pair;
    char *decoded = malloc(body.len + 1);
    int status = decoded == NULL ? out_of_memory(error) : publish_rows_begin(rows, error);

    while (status == 0 && urlencoded_next(&body, &pair))
        status = parse_pair(rows, &pair, decoded, error);
    free(decoded);
    return status == 0 ? publish_rows_end(rows, error) : status;
}

int
publish_rows_parse(struct publish_rows *rows, enum publish_type type, struct slice body,
                   struct error *error)
{
    if (type == PUBLISH_FORM)
        return parse_form(rows, body, error);
    if (!utf8_is_valid(body)) {
        error_set(error, "the body is not UTF-8");
        return 400;
    }
    return publish_parse_json(rows, body, error);
}
