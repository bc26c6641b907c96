/* json.c - rows from JSON: an object, or an array of objects.
 *
 * jansson reads it: strict (RFC 8259), no name twice, no NUL, nesting bounded
 * (JSON_PARSER_MAX_DEPTH). `data` that is no string is stored as its compact JSON text, which is
 * written here, as jansson before 2.15 writes 0.1 as 0.10000000000000001. */
#include "config.h"

#include <inttypes.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "publish/rows.h"

/* --- a value as text ----------------------------------------------------------------- */

/* The shortest of the three that reads back as the same number. */
static void
append_real(struct buf *buf, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) >= value && strtod(text, NULL) <= value)
            break;
    }
    buf_append_text(buf, text);
    if (strpbrk(text, ".e") == NULL)
        buf_append_text(buf, ".0");
}

static struct slice
string_of(const json_t *value)
{
    return (struct slice){json_string_value(value), json_string_length(value)};
}

static void append_value(struct buf *buf, json_t *value);

static void
append_object(struct buf *buf, json_t *object)
{
    const char *name;
    json_t *value;
    const char *comma = "{";
    json_object_foreach(object, name, value)
    {
        buf_append_text(buf, comma);
        json_append_string(buf, slice_of(name));
        buf_append_text(buf, ":");
        append_value(buf, value);
        comma = ",";
    }
    buf_append_text(buf, json_object_size(object) == 0 ? "{}" : "}");
}

static void
append_array(struct buf *buf, json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        buf_append_text(buf, i == 0 ? "[" : ",");
        append_value(buf, json_array_get(array, i));
    }
    buf_append_text(buf, json_array_size(array) == 0 ? "[]" : "]");
}

static void
append_value(struct buf *buf, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        append_object(buf, value);
        break;
    case JSON_ARRAY:
        append_array(buf, value);
        break;
    case JSON_STRING:
        json_append_string(buf, string_of(value));
        break;
    case JSON_INTEGER:
        buf_append_int(buf, json_integer_value(value));
        break;
    case JSON_REAL:
        append_real(buf, json_real_value(value));
        break;
    case JSON_TRUE:
        buf_append_text(buf, "true");
        break;
    case JSON_FALSE:
        buf_append_text(buf, "false");
        break;
    case JSON_NULL:
        buf_append_text(buf, "null");
        break;
    }
}

/* --- rows ----------------------------------------------------------------------------- */

static int
set_data(struct publish_rows *rows, json_t *value, struct error *error)
{
    struct buf text = {0};
    if (json_is_string(value))
        return publish_rows_set(rows, PUBLISH_DATA, string_of(value), error);
    append_value(&text, value);
    int status = 503;
    if (text.failed)
        error_set(error, "out of memory");
    else
        status = publish_rows_set(rows, PUBLISH_DATA, buf_slice(&text), error);
    buf_fini(&text);
    return status;
}

static int
set_member(struct publish_rows *rows, const char *name, json_t *value, struct error *error)
{
    enum publish_field field = PUBLISH_CHANNEL;
    int status = publish_field_find(name, &field, error);
    if (status != 0)
        return status;
    if (field == PUBLISH_DATA)
        return set_data(rows, value, error);
    /* SQL's NULL, as programs write what is not there. A channel is never that. */
    if (json_is_null(value) && field != PUBLISH_CHANNEL)
        return 0;
    if (json_is_string(value))
        return publish_rows_set(rows, field, string_of(value), error);
    error_set(error, "bad field %s: is not a string%s", publish_field_name(field),
              field == PUBLISH_TTL ? " such as \"90s\"" : "");
    return 400;
}

static int
add_object(struct publish_rows *rows, json_t *object, struct error *error)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object)) {
        error_set(error, "the body is not a JSON object, nor an array of objects");
        return 400;
    }
    int status = publish_rows_begin(rows, error);
    if (status != 0)
        return status;
    json_object_foreach(object, name, value)
    {
        status = set_member(rows, name, value, error);
        if (status != 0)
            return status;
    }
    return publish_rows_end(rows, error);
}

static int
add_array(struct publish_rows *rows, json_t *array, struct error *error)
{
    int status = 0;
    size_t count = json_array_size(array);

    if (count == 0) {
        error_set(error, "the JSON array is empty: nothing to publish");
        return 400;
    }
    for (size_t i = 0; i < count && status == 0; i++)
        status = add_object(rows, json_array_get(array, i), error);
    if (status != 400)
        return status;
    struct error inner = *error;
    error_set(error, "row %zu: %s", rows->count, inner.text);
    return status;
}

static int
refuse_text(const json_error_t *fault, struct error *error)
{
    if (errno == ENOMEM) {
        error_set(error, "out of memory");
        return 503;
    }
    /* "... near 'what stands there'" would quote the body, which is not for logs. */
    const char *near_text = strstr(fault->text, " near ");
    int len = near_text != NULL ? (int)(near_text - fault->text) : (int)strlen(fault->text);
    error_set(error, "the body is not JSON that is understood: line %d, column %d: %.*s",
              fault->line, fault->column, len, fault->text);
    return 400;
}

int
publish_parse_json(struct publish_rows *rows, struct slice body, struct error *error)
{
    json_error_t fault;
    errno = 0; /* malloc(3) sets it; jansson calls it bad syntax when memory runs out */
    json_t *root = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, &fault);
    if (root == NULL)
        return refuse_text(&fault, error);
    int status =
        json_is_array(root) ? add_array(rows, root, error) : add_object(rows, root, error);
    json_decref(root);
    return status;
}
