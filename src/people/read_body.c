/* read_body.c - see people/read_body.h. */
#include "config.h"

#include "people/read_body.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/parse_number.h"
#include "event/row.h"
#include "http/urlencoded.h"

static int
out_of_memory(struct error *error)
{
    error_set(error, "out of memory");
    return 503;
}

static int
refuse(struct error *error, const char *field, const char *why)
{
    error_set(error, "bad field %s: %s", field, why);
    return 400;
}

/* --- fields -------------------------------------------------------------------------- */

static int
set_id(struct read_body *read, const char *text, struct error *error)
{
    int64_t id;
    if (read->id != 0)
        return refuse(error, "id", "is given twice");
    if (parse_id(text, &id) != 0 || id < 1 || id > ROW_ID_MAX)
        return refuse(error, "id", "is not the id of a row");
    read->id = id;
    return 0;
}

static int
set_channel(struct read_body *read, struct slice text, struct error *error)
{
    if (read->channel != NULL)
        return refuse(error, "channel", "is given twice");
    if (text.len == 0 || text.len > READ_CHANNEL_MAX || memchr(text.p, '\0', text.len) ||
        memchr(text.p, '\n', text.len) || memchr(text.p, '\r', text.len) ||
        !utf8_is_valid(text))
        return refuse(error, "channel",
                      "is empty, too long, not UTF-8, or has a line end in it");
    read->channel = strndup(text.p, text.len);
    return read->channel != NULL ? 0 : out_of_memory(error);
}

static int
set_field(struct read_body *read, const char *name, const char *value, struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];
    if (strcmp(name, "id") == 0)
        return set_id(read, value, error);
    if (strcmp(name, "channel") == 0)
        return set_channel(read, slice_of(value), error);
    error_set(error, "unknown field %s: only id and channel", parse_quote(quoted, name));
    return 400;
}

/* --- the two types ------------------------------------------------------------------- */

static int
parse_form(struct read_body *read, struct slice body, struct error *error)
{
    char name[READ_BODY_MAX + 1], value[READ_BODY_MAX + 1];
    struct urlencoded_pair pair;
    int status = 0;
    while (status == 0 && urlencoded_next(&body, &pair)) {
        if (urlencoded_decode(name, pair.name) != 0 ||
            urlencoded_decode(value, pair.value) != 0) {
            error_set(error, "the body has a broken %% escape or a NUL in it");
            return 400;
        }
        status = set_field(read, name, value, error);
    }
    return status;
}

/* An id is a string, as in every answer; a number is taken too. */
static int
set_member(struct read_body *read, const char *name, const json_t *value,
           struct error *error)
{
    char digits[24];
    if (strcmp(name, "id") == 0 && json_is_integer(value)) {
        snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
        return set_id(read, digits, error);
    }
    if (strcmp(name, "channel") == 0 && json_is_null(value))
        return 0;
    if (!json_is_string(value) && (strcmp(name, "id") == 0 || strcmp(name, "channel") == 0))
        return refuse(error, name, "is not a string");
    return set_field(read, name, json_is_string(value) ? json_string_value(value) : "",
                     error);
}

static int
parse_json(struct read_body *read, struct slice body, struct error *error)
{
    json_error_t fault;
    const char *name;
    json_t *value;
    int status = 0;
    json_t *root = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(root)) {
        error_set(error, "the body is not a JSON object such as {\"id\":\"7\"}");
        json_decref(root);
        return 400;
    }
    json_object_foreach(root, name, value)
    {
        status = set_member(read, name, value, error);
        if (status != 0)
            break;
    }
    json_decref(root);
    return status;
}

int
read_body_parse(struct read_body *read, enum publish_type type, struct slice body,
                struct error *error)
{
    *read = (struct read_body){0};
    if (body.len > READ_BODY_MAX) {
        error_set(error, "a body of %zu bytes: at most %d are read here", body.len,
                  READ_BODY_MAX);
        return 413;
    }
    int status = type == PUBLISH_JSON ? parse_json(read, body, error)
                                      : parse_form(read, body, error);
    if (status == 0 && read->id == 0)
        return refuse(error, "id", "is missing: which row was read?");
    return status;
}

void
read_body_fini(struct read_body *read)
{
    free(read->channel);
    *read = (struct read_body){0};
}
