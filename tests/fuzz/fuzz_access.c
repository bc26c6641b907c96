/* fuzz_access.c - from any set of parameters, through request_parse and access_check, to the
 * question that matters: does the filter that comes of it let a row through that nobody has
 * granted? Input: "NAME=value" strings parted by NUL, as fuzz_params.
 *
 * What was granted and what was asked for is read here once more, from the parameters and not from
 * the request; each probe row is judged by naive_glob.c. Whatever HTTP_* said, only REMOTE_USER,
 * ROWCAST_CHANNELS and ROWCAST_ADMIN may make a difference. */
#include "config.h"

#include <ctype.h>
#include <string.h>
#include <unistr.h>

#include "access.h"
#include "fuzz.h"
#include "naive_glob.h"
#include "request.h"

#define PARAMS_MAX 64

/* The right way to read the parameters, the short one. */
struct granted {
    const char *user; /* NULL: nobody */
    bool bounded;
    bool admin;
    struct patterns bound;
    struct patterns requested;
};

static const char *
value_of(const char *const *envp, const char *name)
{
    size_t len = strlen(name);
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    return NULL;
}

static void
add_pattern(struct patterns *patterns, const char *text)
{
    MUST(patterns_add(patterns, slice_of(text)) == PATTERNS_OK);
}

static void
read_bound(struct granted *granted, const char *value)
{
    char *copy = strdup(value);
    MUST(copy != NULL);
    granted->bounded = true;
    for (char *word = strtok(copy, " \t"); word != NULL; word = strtok(NULL, " \t"))
        add_pattern(&granted->bound, word);
    free(copy);
}

/* In place; false for a broken escape or a NUL. */
static bool
decode(char *text)
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

static void
read_requested(struct granted *granted, const char *query)
{
    char *copy = strdup(query);
    MUST(copy != NULL);
    for (char *pair = strtok(copy, "&"); pair != NULL; pair = strtok(NULL, "&")) {
        char *value = strchr(pair, '=');
        if (value != NULL)
            *value++ = '\0';
        if (!decode(pair) || strcmp(pair, "channel") != 0)
            continue;
        /* What was let through had each of its channels in order. */
        MUST(value != NULL && decode(value) && *value != '\0');
        add_pattern(&granted->requested, value);
    }
    free(copy);
}

/* --- probes ------------------------------------------------------------------------------------ */

static bool
is_plain(const char *text)
{
    size_t len = strlen(text);
    return len <= NAIVE_GLOB_MAX && u8_check((const uint8_t *)text, len) == NULL;
}

static bool
all_plain(const struct patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (!is_plain(patterns->items[i]))
            return false;
    return true;
}

static bool
channel_is_granted(const struct granted *granted, const char *channel)
{
    return !granted->bounded || naive_glob_any(&granted->bound, channel);
}

static void
check_channel(const struct filter *filter, const struct granted *granted,
              const char *channel)
{
    if (!is_plain(channel) || !all_plain(&granted->bound) ||
        !all_plain(&granted->requested))
        return;
    bool expected =
        channel_is_granted(granted, channel) &&
        (granted->requested.count == 0 || naive_glob_any(&granted->requested, channel));
    MUST(filter_matches(filter, slice_of(channel), (struct slice){NULL, 0}) == expected);
    /* A recipient takes away, and never gives. */
    if (granted->user != NULL)
        MUST(filter_matches(filter, slice_of(channel), slice_of(granted->user)) ==
             expected);
}

static void
check_recipient(const struct filter *filter, const struct granted *granted,
                struct slice recipient)
{
    bool is_user = granted->user != NULL && slice_equal(slice_of(granted->user), recipient);
    if (is_user)
        return;
    MUST(!filter_matches(filter, slice_of("orders"), recipient));
    MUST(!filter_matches(filter, slice_of("a"), recipient));
    for (size_t i = 0; i < granted->requested.count; i++)
        MUST(!filter_matches(filter, slice_of(granted->requested.items[i]), recipient));
}

/* Whatever stands in any parameter is tried as a name of a user, and so is the user's own with
 * something behind it. */
static void
check_recipients(const struct filter *filter, const struct granted *granted,
                 const char *const *envp)
{
    check_recipient(filter, granted, slice_of(""));
    check_recipient(filter, granted, slice_of("bob"));
    for (; *envp != NULL; envp++) {
        const char *value = strchr(*envp, '=');
        check_recipient(filter, granted, slice_of(value != NULL ? value + 1 : *envp));
    }
    if (granted->user == NULL)
        return;
    struct slice longer = {granted->user, strlen(granted->user) + 1}; /* with its NUL */
    check_recipient(filter, granted, longer);
    struct slice shorter = {granted->user, longer.len - 2};
    check_recipient(filter, granted, shorter);
}

static void
check_channels(const struct filter *filter, const struct granted *granted,
               const char *const *envp)
{
    static const char *const channels[] = {"orders", "orders.eu", "news.eu", "public",
                                           "a",      "*",         "[",       "]",
                                           "-",      "^",         "\xC3\xA9"};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        check_channel(filter, granted, channels[i]);
    for (size_t i = 0; i < granted->requested.count; i++)
        check_channel(filter, granted, granted->requested.items[i]);
    for (size_t i = 0; i < granted->bound.count; i++)
        check_channel(filter, granted, granted->bound.items[i]);
    for (; *envp != NULL; envp++) {
        const char *value = strchr(*envp, '=');
        check_channel(filter, granted, value != NULL ? value + 1 : *envp);
    }
}

/* --- one request -------------------------------------------------------------------------------- */

/* request_parse has let it through, so what the server says is unanimous and in order. */
static void
check_parsed(struct request *request, const char *const *envp)
{
    struct granted granted = {.user = value_of(envp, "REMOTE_USER")};
    const char *admin = value_of(envp, "ROWCAST_ADMIN");
    const char *bound = value_of(envp, "ROWCAST_CHANNELS");
    const char *query = value_of(envp, "QUERY_STRING");
    struct error error = {""};

    if (granted.user != NULL && *granted.user == '\0')
        granted.user = NULL;
    granted.admin = admin != NULL && strcmp(admin, "1") == 0;
    if (bound != NULL)
        read_bound(&granted, bound);
    bool is_stream = request->resource == RESOURCE_STREAM;
    if (is_stream && request->method != METHOD_OPTIONS && query != NULL)
        read_requested(&granted, query);

    const struct access_rules no_tickets = {0};
    int status = access_check(request, &no_tickets, 0, &error);
    MUST(status == 0 || status == 403 || (status == 400 && request->ticket != NULL));
    MUST((status == 0) == (*error.text == '\0'));
    if (!is_stream && request->resource != RESOURCE_HEALTH)
        MUST((status == 0) == granted.admin);
    if (is_stream && status == 0 && all_plain(&granted.bound)) {
        for (size_t i = 0; i < granted.requested.count; i++) {
            const char *channel = granted.requested.items[i];
            if (strpbrk(channel, "*?[") == NULL && is_plain(channel))
                MUST(channel_is_granted(&granted, channel));
        }
    }
    check_channels(&request->filter, &granted, envp);
    check_recipients(&request->filter, &granted, envp);
    patterns_fini(&granted.bound);
    patterns_fini(&granted.requested);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    char *texts[PARAMS_MAX];
    const char *envp[PARAMS_MAX + 1];
    size_t count = 0;
    struct request request;
    struct error error = {""};

    while (input.len > 0 && count < PARAMS_MAX) {
        texts[count] = fuzz_take_text(&input);
        envp[count] = texts[count];
        count++;
    }
    envp[count] = NULL;
    if (request_parse(&request, envp, &error) == 0)
        check_parsed(&request, envp);
    request_fini(&request);
    while (count > 0)
        free(texts[--count]);
    return 0;
}
