/* fuzz_access.c - from any set of parameters, through request_parse and access_check, to the
 * question that matters: does the filter that comes of it let a row through that nobody has
 * granted? Input: "NAME=value" strings parted by NUL, as fuzz_params, with tickets as
 * ticket_oracle.h has it; where there is one the server knows tickets, and with a string
 * REQUIRE_TICKET it wants them.
 *
 * What was granted and what was asked for is read here once more, from the parameters and not from
 * the request; each probe row is judged by naive_glob.c. Whatever HTTP_* said, only REMOTE_USER,
 * ROWCAST_CHANNELS, ROWCAST_PUBLISH, ROWCAST_ADMIN and what the server has signed may make a
 * difference. */
#include "config.h"

#include <string.h>
#include <unistr.h>

#include "access/access.h"
#include "fuzz.h"
#include "naive_glob.h"
#include "publish/check.h"
#include "http/request.h"
#include "ticket_oracle.h"

#define PARAMS_MAX 64

/* The right way to read the parameters, the short one. */
struct granted {
    const char *user; /* NULL: nobody */
    bool bounded;
    bool admin;
    struct patterns bound;
    bool publish_bounded;
    struct patterns publish;
    struct patterns requested;
    struct ticket_grant ticket;
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

/* Whether the variable is there. */
static bool
read_bound(struct patterns *bound, const char *value)
{
    if (value == NULL)
        return false;
    char *copy = strdup(value);
    MUST(copy != NULL);
    for (char *word = strtok(copy, " \t"); word != NULL; word = strtok(NULL, " \t"))
        add_pattern(bound, word);
    free(copy);
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
        if (!ticket_oracle_decode(pair) || strcmp(pair, "channel") != 0)
            continue;
        /* What was let through had each of its channels in order. */
        MUST(value != NULL && ticket_oracle_decode(value) && *value != '\0');
        add_pattern(&granted->requested, value);
    }
    free(copy);
}

/* --- probes -------------------------------------------------------------------------- */

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
all_are_plain(const struct granted *granted)
{
    return all_plain(&granted->bound) && all_plain(&granted->requested) &&
           all_plain(&granted->publish) && all_plain(&granted->ticket.channels) &&
           all_plain(&granted->ticket.publish);
}

static bool
channel_is_granted(const struct granted *granted, const char *channel)
{
    return (!granted->bounded || naive_glob_any(&granted->bound, channel)) &&
           (!granted->ticket.has_channels ||
            naive_glob_any(&granted->ticket.channels, channel));
}

static void
check_channel(const struct filter *filter, const struct granted *granted,
              const char *channel)
{
    if (!is_plain(channel) || !all_are_plain(granted))
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

/* Who may publish is decided by two lists, neither of which is that of what may be read. */
static void
check_publish(const struct request *request, const struct granted *granted,
              const char *channel)
{
    const struct ticket_grant *ticket = &granted->ticket;
    if (!is_plain(channel) || !all_are_plain(granted))
        return;
    bool expected =
        (granted->publish_bounded || ticket->has_publish) &&
        (!granted->publish_bounded || naive_glob_any(&granted->publish, channel)) &&
        (!ticket->has_publish || naive_glob_any(&ticket->publish, channel));
    MUST(publish_allows(request, slice_of(channel)) == expected);
}

static void
check_publishing(const struct request *request, const struct granted *granted,
                 const char *const *envp)
{
    check_publish(request, granted, "orders");
    for (size_t i = 0; i < granted->publish.count; i++)
        check_publish(request, granted, granted->publish.items[i]);
    for (size_t i = 0; i < granted->ticket.publish.count; i++)
        check_publish(request, granted, granted->ticket.publish.items[i]);
    for (; *envp != NULL; envp++) {
        const char *value = strchr(*envp, '=');
        check_publish(request, granted, value != NULL ? value + 1 : *envp);
    }
}

/* --- one request --------------------------------------------------------------------- */

struct scene {
    const char *const *envp;
    struct access_rules rules;
    struct ticket_oracle tickets;
};

static void
read_granted(struct granted *granted, const struct request *request,
             const char *const *envp)
{
    const char *admin = value_of(envp, "ROWCAST_ADMIN");
    const char *query = value_of(envp, "QUERY_STRING");
    granted->user = value_of(envp, "REMOTE_USER");
    if (granted->user != NULL && *granted->user == '\0')
        granted->user = NULL;
    granted->admin = admin != NULL && strcmp(admin, "1") == 0;
    granted->bounded = read_bound(&granted->bound, value_of(envp, "ROWCAST_CHANNELS"));
    if (request->method == METHOD_POST)
        granted->publish_bounded =
            read_bound(&granted->publish, value_of(envp, "ROWCAST_PUBLISH"));
    if (request->resource == RESOURCE_STREAM && query != NULL)
        read_requested(granted, query);
}

/* Of a request that was let in. False: nothing is known of its ticket. */
static bool
read_ticket(struct granted *granted, const struct request *request,
            const struct scene *scene)
{
    char *ticket = ticket_oracle_find(scene->envp);
    MUST((ticket != NULL) == request->has_ticket);
    MUST(ticket != NULL || !scene->rules.require_ticket);
    if (ticket == NULL)
        return true;
    bool known = ticket_oracle_read(&scene->tickets, ticket, &granted->ticket);
    free(ticket);
    if (!known || granted->ticket.sub == NULL)
        return known;
    MUST(granted->user == NULL || strcmp(granted->user, granted->ticket.sub) == 0);
    granted->user = granted->ticket.sub;
    return true;
}

static void
check_let_in(const struct request *request, const struct granted *granted,
             const char *const *envp)
{
    for (size_t i = 0; i < granted->requested.count; i++) {
        const char *channel = granted->requested.items[i];
        if (strpbrk(channel, "*?[") == NULL && is_plain(channel) && all_are_plain(granted))
            MUST(channel_is_granted(granted, channel));
    }
    check_channels(&request->filter, granted, envp);
    check_recipients(&request->filter, granted, envp);
    if (request->method == METHOD_POST)
        check_publishing(request, granted, envp);
}

/* request_parse has let it through, so what the server says is unanimous and in order. */
static void
check_parsed(struct request *request, const struct scene *scene)
{
    struct granted granted = {0};
    struct error error = {""};
    bool is_stream = request->resource == RESOURCE_STREAM;
    if (request->method ==
        METHOD_OPTIONS) /* opens nothing, and is not judged (serve/dispatch.c) */
        return;
    read_granted(&granted, request, scene->envp);
    int status = access_check(request, &scene->rules, ORACLE_NOW_MS, &error);
    MUST(status == 0 || status == 400 || status == 401 || status == 403);
    MUST(status != 401 || scene->rules.keys != NULL);
    MUST(status != 400 || request->ticket != NULL || request->cookie != NULL);
    MUST((status == 0) == (*error.text == '\0'));
    if (!is_stream && request->resource != RESOURCE_HEALTH)
        MUST((status == 0) == granted.admin);
    if (status == 0 &&
        (!is_stream || scene->rules.keys == NULL || read_ticket(&granted, request, scene)))
        check_let_in(request, &granted, scene->envp);
    patterns_fini(&granted.bound);
    patterns_fini(&granted.publish);
    patterns_fini(&granted.requested);
    ticket_grant_fini(&granted.ticket);
}

static void
try_request(struct scene *scene)
{
    char secret[] = ORACLE_SECRET;
    struct ticket_keys keys = {
        .items = {{.alg = TICKET_HS256, .bytes = secret, .len = strlen(ORACLE_SECRET)}},
        .count = 1};
    struct request request;
    struct error error = {""};
    for (const char *const *text = scene->envp; *text != NULL; text++)
        if (strcmp(*text, "REQUIRE_TICKET") == 0)
            scene->rules.require_ticket = true;
    if (scene->tickets.any || scene->rules.require_ticket)
        scene->rules.keys = &keys;
    if (request_parse(&request, scene->envp, NULL, &error) == 0)
        check_parsed(&request, scene);
    request_fini(&request);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    struct scene scene = {0};
    char *texts[PARAMS_MAX];
    const char *envp[PARAMS_MAX + 1];
    size_t count = 0;

    while (input.len > 0 && count < PARAMS_MAX) {
        char *raw = fuzz_take_text(&input);
        texts[count] = ticket_oracle_expand(&scene.tickets, raw);
        free(raw);
        envp[count] = texts[count];
        count++;
    }
    envp[count] = NULL;
    scene.envp = envp;
    try_request(&scene);
    ticket_oracle_fini(&scene.tickets);
    while (count > 0)
        free(texts[--count]);
    return 0;
}
