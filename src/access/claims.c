/* claims.c - what a ticket may say, claim by claim. */
#include "config.h"

#include "access/claims.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_S 253402300799 /* the end of the year 9999 */

/* --- reading ------------------------------------------------------------------------------- */

/* A name as people and logs can bear it. */
static bool
is_name(const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL || *text == '\0' || strlen(text) > TICKET_NAME_MAX)
        return false;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static int
out_of_memory(struct error *error)
{
    error_set(error, "out of memory");
    return 503;
}

static int
read_sub(struct ticket *ticket, const json_t *claims, struct error *error)
{
    const json_t *sub = json_object_get(claims, "sub");
    if (sub == NULL)
        return 0;
    if (!is_name(sub)) {
        error_set(error,
                  "its sub is not a string of 1 to %d bytes without control characters",
                  TICKET_NAME_MAX);
        return 401;
    }
    ticket->sub = strdup(json_string_value(sub));
    return ticket->sub != NULL ? 0 : out_of_memory(error);
}

/* Seconds since 1970, perhaps with a fraction, to milliseconds. */
static int
read_time(int64_t *ms, const json_t *claims, const char *name, struct error *error)
{
    const json_t *value = json_object_get(claims, name);
    double seconds = json_number_value(value);
    if (value == NULL)
        return 0;
    if (!json_is_number(value) || !(seconds >= 0 && seconds <= TIME_MAX_S)) {
        error_set(error, "its %s is not a time in seconds since 1970", name);
        return 401;
    }
    *ms = (int64_t)(seconds * 1000 + 0.5);
    /* 0 is 1970 here, and would be "none" there. */
    if (*ms == 0)
        *ms = 1;
    return 0;
}

static int
read_pattern(struct patterns *patterns, const json_t *item, const char *name,
             struct error *error)
{
    struct slice pattern = {json_string_value(item), json_string_length(item)};
    if (pattern.p == NULL) {
        error_set(error, "its %s is not a list of patterns", name);
        return 401;
    }
    enum patterns_result result = patterns_add(patterns, pattern);
    if (result == PATTERNS_OK)
        return 0;
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(error);
    if (result == PATTERNS_TOO_MANY)
        error_set(error, "its %s has more than %d patterns", name, FILTER_PATTERNS_MAX);
    else
        error_set(error, "a pattern in its %s %s", name, patterns_strerror(result));
    return 401;
}

static int
read_patterns(struct patterns *patterns, const json_t *list, const char *name,
              struct error *error)
{
    size_t i;
    json_t *item;

    if (list == NULL)
        return 0;
    if (!json_is_array(list)) {
        error_set(error, "its %s is not a list of patterns", name);
        return 401;
    }
    json_array_foreach(list, i, item)
    {
        int status = read_pattern(patterns, item, name, error);
        if (status != 0)
            return status;
    }
    enum patterns_result result = patterns_compile(patterns, PATTERNS_GRANTED);
    if (result == PATTERNS_OK)
        return 0;
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(error);
    error_set(error, "its %s: %s", name, patterns_list_strerror(PATTERNS_GRANTED, result));
    return 401;
}

int
ticket_claims_read(struct ticket *ticket, const struct json_t *claims, struct error *error)
{
    const json_t *channels = json_object_get(claims, "channels");
    const json_t *publish = json_object_get(claims, "publish");

    struct error ignored;
    /* One that is no time, as of a program that counts in milliseconds, is none: a ticket may live
     * without. */
    read_time(&ticket->issued_at_ms, claims, "iat", &ignored);
    ticket->has_channels = channels != NULL;
    ticket->has_publish = publish != NULL;
    int status = read_sub(ticket, claims, error);
    if (status == 0)
        status = read_time(&ticket->expires_at_ms, claims, "exp", error);
    if (status == 0)
        status = read_time(&ticket->not_before_ms, claims, "nbf", error);
    if (status == 0)
        status = read_patterns(&ticket->channels, channels, "channels", error);
    if (status == 0)
        status = read_patterns(&ticket->publish, publish, "publish", error);
    return status;
}

/* --- audience ------------------------------------------------------------------------------ */

static bool
is_audience(const json_t *value, const char *audience)
{
    const char *text = json_string_value(value);
    return text != NULL && strcmp(text, audience) == 0;
}

/* One string, or a list of them. */
static bool
names_audience(const json_t *aud, const char *audience)
{
    size_t i;
    json_t *item;
    json_array_foreach(aud, i, item)
    {
        if (is_audience(item, audience))
            return true;
    }
    return is_audience(aud, audience);
}

int
ticket_claims_check_audience(const struct json_t *claims, const char *audience,
                             struct error *error)
{
    const json_t *aud = json_object_get(claims, "aud");
    if (aud == NULL && audience == NULL)
        return 0;
    if (aud == NULL)
        return error_set(error,
                         "the ticket is for no audience (aud), and here one is asked "
                         "for");
    if (audience == NULL)
        return error_set(error, "the ticket is for another audience: it has aud, and the "
                                "server has no --ticket-audience");
    if (!names_audience(aud, audience))
        return error_set(error, "the ticket is for another audience (aud)");
    return 0;
}

/* --- writing ------------------------------------------------------------------------------- */

/* NULL items make jansson's _new functions fail, and packing then fails as a whole. */
static json_t *
list_of(const struct patterns *patterns)
{
    json_t *list = json_array();
    for (size_t i = 0; i < patterns->count; i++) {
        if (json_array_append_new(list, json_string(patterns->items[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int
set_all(json_t *claims, const struct ticket *ticket, const char *audience)
{
    int failed = 0;
    if (ticket->sub != NULL)
        failed |= json_object_set_new(claims, "sub", json_string(ticket->sub));
    if (ticket->has_channels)
        failed |= json_object_set_new(claims, "channels", list_of(&ticket->channels));
    if (ticket->has_publish)
        failed |= json_object_set_new(claims, "publish", list_of(&ticket->publish));
    if (audience != NULL)
        failed |= json_object_set_new(claims, "aud", json_string(audience));
    if (ticket->issued_at_ms > 0)
        failed |= json_object_set_new(claims, "iat",
                                      json_real((double)ticket->issued_at_ms / 1000));
    if (ticket->not_before_ms > 0)
        failed |=
            json_object_set_new(claims, "nbf", json_integer(ticket->not_before_ms / 1000));
    if (ticket->expires_at_ms > 0)
        failed |=
            json_object_set_new(claims, "exp", json_integer(ticket->expires_at_ms / 1000));
    return failed;
}

char *
ticket_claims_write(const struct ticket *ticket, const char *audience)
{
    json_t *claims = json_object();
    char *text = NULL;
    if (set_all(claims, ticket, audience) == 0)
        text = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    return text;
}
