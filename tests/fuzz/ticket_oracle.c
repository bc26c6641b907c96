/* ticket_oracle.c - see ticket_oracle.h. Nothing of src/ticket*.c is used here. */
#include "config.h"

#include "ticket_oracle.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "hs256.h"

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define BLANK " \t"

/* --- signing --------------------------------------------------------------------------------- */

static void
append_ticket(struct ticket_oracle *oracle, struct buf *out, struct slice claims, bool ours)
{
    char *ticket =
        hs256_token(slice_of(HEADER), claims, ours ? ORACLE_SECRET : "another secret");
    oracle->any = true;
    if (ours && oracle->count < ORACLE_TICKETS_MAX) {
        oracle->claims[oracle->count] = strndup(claims.p, claims.len);
        oracle->tickets[oracle->count++] = strdup(ticket);
    }
    buf_append_text(out, ticket);
    free(ticket);
}

char *
ticket_oracle_expand(struct ticket_oracle *oracle, const char *text)
{
    struct buf out = {0};
    while (*text != '\0') {
        const char *end = *text == 1 || *text == 3 ? strchr(text, 2) : NULL;
        if (end == NULL) {
            buf_append(&out, text++, 1);
            continue;
        }
        append_ticket(oracle, &out, (struct slice){text + 1, (size_t)(end - text - 1)},
                      *text == 1);
        text = end + 1;
    }
    buf_append(&out, "", 1);
    MUST(!out.failed);
    return out.p;
}

/* --- finding --------------------------------------------------------------------------------- */

static const char *
value_of(const char *const *envp, const char *name)
{
    size_t len = strlen(name);
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    return "";
}

static char *
trimmed(const char *text, size_t len)
{
    while (len > 0 && strchr(BLANK, text[len - 1]) != NULL)
        len--;
    size_t skip = 0;
    while (skip < len && strchr(BLANK, text[skip]) != NULL)
        skip++;
    return strndup(text + skip, len - skip);
}

static char *
find_in_header(const char *header)
{
    header += strspn(header, BLANK);
    if (strncasecmp(header, "bearer", 6) != 0 ||
        (header[6] != '\0' && strchr(BLANK, header[6]) == NULL))
        return NULL;
    return trimmed(header + 6, strlen(header + 6));
}

/* In place; false for a broken escape or a NUL. */
bool
ticket_oracle_decode(char *text)
{
    char *out = text;
    for (; *text != '\0'; text++) {
        unsigned byte = (unsigned char)*text;
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            char hex[3] = {text[1], text[1] != '\0' ? text[2] : '\0', '\0'};
            if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]))
                return false;
            byte = (unsigned)strtoul(hex, NULL, 16);
            text += 2;
        }
        if (byte == 0)
            return false;
        *out++ = (char)byte;
    }
    *out = '\0';
    return true;
}

static char *
find_in_query(const char *query)
{
    char *found = NULL;
    char *copy = strdup(query);
    MUST(copy != NULL);
    for (char *pair = strtok(copy, "&"); pair != NULL && found == NULL;
         pair = strtok(NULL, "&")) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        if (ticket_oracle_decode(pair) && strcmp(pair, "ticket") == 0) {
            MUST(ticket_oracle_decode(value));
            found = strdup(value);
        }
    }
    free(copy);
    return found;
}

static char *
find_in_cookies(const char *cookies)
{
    char *found = NULL;
    char *copy = strdup(cookies);
    MUST(copy != NULL);
    for (char *pair = strtok(copy, ";"); pair != NULL && found == NULL;
         pair = strtok(NULL, ";")) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            continue;
        char *name = trimmed(pair, (size_t)(value - pair));
        if (strcmp(name, "rowcast_ticket") == 0)
            found = trimmed(value + 1, strlen(value + 1));
        free(name);
    }
    free(copy);
    return found;
}

char *
ticket_oracle_find(const char *const *envp)
{
    char *found = find_in_header(value_of(envp, "HTTP_AUTHORIZATION"));
    if (found == NULL)
        found = find_in_query(value_of(envp, "QUERY_STRING"));
    if (found == NULL)
        found = find_in_cookies(value_of(envp, "HTTP_COOKIE"));
    return found;
}

/* --- reading --------------------------------------------------------------------------------- */

static bool
read_list(const json_t *list, struct patterns *patterns)
{
    size_t i;
    json_t *item;
    if (list == NULL)
        return false;
    MUST(json_is_array(list));
    json_array_foreach(list, i, item)
    {
        MUST(json_is_string(item));
        MUST(patterns_add(patterns, slice_of(json_string_value(item))) == PATTERNS_OK);
    }
    return true;
}

static void
read_claims(const char *text, struct ticket_grant *grant)
{
    json_t *claims = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    MUST(json_is_object(claims));
    const json_t *sub = json_object_get(claims, "sub");
    const json_t *exp = json_object_get(claims, "exp");
    const json_t *nbf = json_object_get(claims, "nbf");
    MUST(sub == NULL || (json_is_string(sub) && json_string_length(sub) > 0));
    MUST(exp == NULL || json_number_value(exp) * 1000 > ORACLE_NOW_MS);
    MUST(nbf == NULL || json_number_value(nbf) * 1000 < ORACLE_NOW_MS + 6000);
    MUST(json_object_get(claims, "aud") == NULL);
    grant->sub = sub == NULL ? NULL : strdup(json_string_value(sub));
    grant->has_channels = read_list(json_object_get(claims, "channels"), &grant->channels);
    grant->has_publish = read_list(json_object_get(claims, "publish"), &grant->publish);
    json_decref(claims);
}

bool
ticket_oracle_read(const struct ticket_oracle *oracle, const char *ticket,
                   struct ticket_grant *grant)
{
    MUST(hs256_is_signed(slice_of(ticket), ORACLE_SECRET));
    for (size_t i = 0; i < oracle->count; i++) {
        if (strcmp(oracle->tickets[i], ticket) != 0)
            continue;
        read_claims(oracle->claims[i], grant);
        return true;
    }
    return false;
}

void
ticket_grant_fini(struct ticket_grant *grant)
{
    free(grant->sub);
    patterns_fini(&grant->channels);
    patterns_fini(&grant->publish);
}

void
ticket_oracle_fini(struct ticket_oracle *oracle)
{
    for (size_t i = 0; i < oracle->count; i++) {
        free(oracle->tickets[i]);
        free(oracle->claims[i]);
    }
}
