/* subscription.c - JSON of browsers and of the table; see push/subscription.h.
 *
 * Called by push/endpoint.c for what comes and by push/subscribers.c for what is stored, which an
 * application may have changed. */
#include "config.h"

#include "push/subscription.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "push/ece.h"
#include "push/hosts.h"

/* --- patterns ----------------------------------------------------------------------- */

void
push_patterns_append(struct buf *buf, const struct patterns *patterns)
{
    buf_append_text(buf, "[");
    for (size_t i = 0; i < patterns->count; i++) {
        if (i > 0)
            buf_append_text(buf, ",");
        json_append_string(buf, slice_of(patterns->items[i]));
    }
    buf_append_text(buf, "]");
}

/* Adds the items of an array of texts. */
static enum patterns_result
add_items(struct patterns *patterns, const json_t *array, size_t *at)
{
    enum patterns_result result = PATTERNS_OK;
    for (*at = 0; result == PATTERNS_OK && *at < json_array_size(array); ++*at) {
        const json_t *item = json_array_get(array, *at);
        if (!json_is_string(item))
            return PATTERNS_EMPTY;
        result = patterns_add(
            patterns, (struct slice){json_string_value(item), json_string_length(item)});
    }
    return result;
}

int
push_patterns_parse(struct patterns *patterns, struct slice json, enum patterns_whose whose)
{
    size_t at;
    json_t *array = json_loadb(json.p, json.len, 0, NULL);
    int result = -1;
    *patterns = (struct patterns){0};
    if (json_is_array(array) && add_items(patterns, array, &at) == PATTERNS_OK &&
        patterns_compile(patterns, whose) == PATTERNS_OK)
        result = 0;
    json_decref(array);
    if (result != 0)
        patterns_fini(patterns);
    return result;
}

/* --- what a page asks for ----------------------------------------------------------- */

static int
refuse(struct error *error, const char *text)
{
    error_set(error, "%s", text);
    return 400;
}

static int
out_of_memory(struct error *error)
{
    error_set(error, "out of memory");
    return 503;
}

/* A copy of a text without NUL, of at most `max` bytes. */
static int
take_text(char **copy, const json_t *object, const char *name, size_t max,
          struct error *error)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value) || json_string_length(value) == 0) {
        error_set(error, "the body has no %s, which must be a string", name);
        return 400;
    }
    if (json_string_length(value) > max) {
        error_set(error, "%s has more than %zu bytes", name, max);
        return 400;
    }
    *copy = strdup(json_string_value(value));
    return *copy != NULL ? 0 : out_of_memory(error);
}

static int
take_keys(struct push_wish *wish, const json_t *root, struct error *error)
{
    struct ece_keys keys;
    const json_t *object = json_object_get(root, "keys");
    if (!json_is_object(object))
        return refuse(error, "the body has no keys: send what PushSubscription.toJSON() "
                             "gives, with channels");
    int status = take_text(&wish->p256dh, object, "p256dh", 128, error);
    if (status == 0)
        status = take_text(&wish->auth, object, "auth", 64, error);
    if (status == 0 &&
        ece_keys_parse(&keys, slice_of(wish->p256dh), slice_of(wish->auth), error) != 0)
        return 400;
    return status;
}

static int
take_channels(struct push_wish *wish, const json_t *root, struct error *error)
{
    size_t at;
    const json_t *array = json_object_get(root, "channels");
    if (!json_is_array(array) || json_array_size(array) == 0)
        return refuse(error,
                      "the body has no channels: an array of channels or patterns, at "
                      "least one");
    enum patterns_result result = add_items(&wish->channels, array, &at);
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(error);
    if (result != PATTERNS_OK) {
        error_set(error, "channels: item %zu %s", at, patterns_strerror(result));
        return 400;
    }
    result = patterns_compile(&wish->channels, PATTERNS_ASKED);
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(error);
    if (result == PATTERNS_OK)
        return 0;
    error_set(error, "channels: %s", patterns_list_strerror(PATTERNS_ASKED, result));
    return 400;
}

/* JSON's own true and false, or the 0 and 1 of query parameters. */
static int
take_absent(struct push_wish *wish, const json_t *root, struct error *error)
{
    const json_t *value = json_object_get(root, "absent");
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    wish->absent = json_is_true(value) || number == 1;
    if (value == NULL || json_is_boolean(value) || json_is_null(value) || number == 0 ||
        number == 1)
        return 0;
    return refuse(error, "absent is neither true nor false");
}

/* A time of the browser's; null where it has none. */
static int
take_expiry(struct push_wish *wish, const json_t *root, struct error *error)
{
    const json_t *value = json_object_get(root, "expirationTime");
    if (value == NULL || json_is_null(value))
        return 0;
    double ms = json_number_value(value);
    if (!json_is_number(value) || !(ms >= 1 && ms < 9e15))
        return refuse(error, "expirationTime is no time in milliseconds, nor null");
    wish->expires_at = (int64_t)ms;
    return 0;
}

static int
take_page(struct push_wish *wish, const json_t *root, struct error *error)
{
    if (json_object_get(root, "declarative") == NULL ||
        json_is_null(json_object_get(root, "declarative")))
        return 0;
    int status = take_text(&wish->page, root, "declarative", PUSH_PAGE_MAX, error);
    if (status == 0 && strncasecmp(wish->page, "https://", 8) != 0 &&
        strncasecmp(wish->page, "http://", 7) != 0)
        return refuse(error, "declarative is not the URL of a page");
    return status;
}

static int
take_members(struct push_wish *wish, const json_t *root, enum push_wish_kind kind,
             struct error *error)
{
    static int (*const takes[])(struct push_wish *, const json_t *, struct error *) = {
        take_keys, take_channels, take_absent, take_expiry, take_page};
    int status = take_text(&wish->endpoint, root, "endpoint", PUSH_ENDPOINT_MAX, error);
    size_t count = kind == PUSH_SUBSCRIBES ? sizeof takes / sizeof *takes : 0;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = takes[i](wish, root, error);
    return status;
}

int
push_wish_parse(struct push_wish *wish, struct slice body, enum push_wish_kind kind,
                struct error *error)
{
    *wish = (struct push_wish){0};
    errno = 0; /* malloc(3) tells; jansson calls it bad syntax when memory runs out */
    json_t *root = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL && errno == ENOMEM)
        return out_of_memory(error);
    int status = json_is_object(root)
                     ? take_members(wish, root, kind, error)
                     : refuse(error, "the body is no JSON object: send what "
                                     "PushSubscription.toJSON() gives, with channels");
    json_decref(root);
    return status;
}

void
push_wish_fini(struct push_wish *wish)
{
    free(wish->endpoint);
    free(wish->p256dh);
    free(wish->auth);
    free(wish->page);
    patterns_fini(&wish->channels);
    *wish = (struct push_wish){0};
}
