/* stream_params.c - what a stream's URL and headers ask for.
 *
 * http/request.c calls it once the path and the method are known. One table has the rules of the
 * query parameters. Their values are collected as wishes first, because some override others.
 *
 * A new parameter is a line in `rules` and `enum parameter`, a field of struct request, and what
 * CONTRIBUTING.md lists. */
#include "config.h"

#include "http/stream_params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/accept.h"
#include "base/json.h"
#include "http/start_id.h"
#include "http/unknown_parameter.h"
#include "http/urlencoded.h"
#include "base/parse_number.h"

struct parser {
    struct request *request;
    const struct stream_params_text *text;
    struct error *error;
};

/* --- refusals ------------------------------------------------------------------------- */

static int
out_of_memory(const struct parser *parser)
{
    error_set(parser->error, "out of memory");
    return 503;
}

/* "bad parameter last: "x" is not a number from 1 to 1000" */
static int
refuse_value(const struct parser *parser, const char *name, const char *value,
             const char *problem)
{
    char quoted[PARSE_QUOTED_MAX];

    error_set(parser->error, "bad parameter %s: %s %s", name, parse_quote(quoted, value),
              problem);
    return 400;
}

static int
refuse_parameter(const struct parser *parser, const char *name, const char *problem)
{
    error_set(parser->error, "bad parameter %s: %s", name, problem);
    return 400;
}

/* --- the query string ---------------------------------------------------------------- */

enum parameter {
    PARAM_CHANNEL,
    PARAM_LAST_EVENT_ID,
    PARAM_SINCE,
    PARAM_LAST,
    PARAM_PING,
    PARAM_THROTTLE,
    PARAM_WAIT,
    PARAM_TICKET,
    PARAM_ENVELOPE,
    PARAM_CLIENT,
    PARAM_STATE,
    PARAMS
};

/* The values of the query string, before the rules choose among them. */
struct wishes {
    bool given[PARAMS];
    int64_t numbers[PARAMS]; /* LAST, PING, THROTTLE, WAIT, ENVELOPE; 0: not given */
    struct start_id last_event_id;
    struct start_id since;
};

/* min, max and `wanted`, the end of the refusal, are for numbers only. */
struct parameter_rule {
    const char *name;
    enum parameter parameter;
    int64_t min, max;
    const char *wanted;
};

static const struct parameter_rule rules[] = {
    {"channel", PARAM_CHANNEL, 0, 0, NULL},
    {"last_event_id", PARAM_LAST_EVENT_ID, 0, 0, NULL},
    {"lastEventId", PARAM_LAST_EVENT_ID, 0, 0, NULL},
    {"since", PARAM_SINCE, 0, 0, NULL},
    {"last", PARAM_LAST, 1, REQUEST_LAST_MAX, "is not a number from 1 to 1000"},
    {"ping", PARAM_PING, 0, 1, "is not 0 or 1"},
    {"throttle", PARAM_THROTTLE, 0, REQUEST_THROTTLE_MAX_MS,
     "is not a number of milliseconds from 0 to 3600000"},
    {"wait", PARAM_WAIT, 0, REQUEST_WAIT_MAX_S, "is not a number of seconds from 0 to 60"},
    {"ticket", PARAM_TICKET, 0, 0, NULL},
    {"envelope", PARAM_ENVELOPE, 0, 1, "is not 0 or 1"},
    {"client", PARAM_CLIENT, 0, 0, NULL},
    {"state", PARAM_STATE, 0, 0, NULL},
};

static const struct parameter_rule *
find_rule(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    }
    return NULL;
}

static int
refuse_unknown(const struct parser *parser, const char *name)
{
    const char *names[sizeof rules / sizeof *rules];
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        names[i] = rules[i].name;
    unknown_parameter_explain(name, names, sizeof rules / sizeof *rules, parser->error);
    return 400;
}

static int
take_channel(const struct parser *parser, const char *value)
{
    struct slice channel = slice_of(value);

    if (!utf8_is_valid(channel))
        return refuse_value(parser, "channel", value, "is not UTF-8");
    enum patterns_result result = patterns_add(&parser->request->filter.requested, channel);
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(parser);
    if (result != PATTERNS_OK)
        return refuse_value(parser, "channel", value, patterns_strerror(result));
    return 0;
}

/* Called when the list is complete: limits the work that its patterns may cause. */
static int
compile_channels(const struct parser *parser)
{
    struct patterns *requested = &parser->request->filter.requested;
    enum patterns_result result = patterns_compile(requested, PATTERNS_ASKED);
    if (result == PATTERNS_OK)
        return 0;
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(parser);
    return refuse_parameter(parser, "channel",
                            patterns_list_strerror(PATTERNS_ASKED, result));
}

static int
take_since(const struct parser *parser, struct start_id *since, const char *value)
{
    if (start_id_parse_since(value, since) != 0)
        return refuse_value(parser, "since", value,
                            "is not all, an id, or an age such as 90s, 10m, 2h, 7d");
    return 0;
}

static int
take_ticket(const struct parser *parser, const char *value)
{
    if (*value == '\0')
        return refuse_parameter(parser, "ticket", "is empty");
    parser->request->ticket = strdup(value);
    return parser->request->ticket != NULL ? 0 : out_of_memory(parser);
}

/* Any text that fits into a log line and a URL as it is. */
static int
take_client(const struct parser *parser, const char *value)
{
    size_t len = strlen(value);
    bool good = len > 0 && len <= REQUEST_CLIENT_MAX;
    for (size_t i = 0; good && i < len; i++)
        good = value[i] > ' ' && value[i] < 0x7f;
    if (!good)
        return refuse_parameter(parser, "client",
                                "is not 1 to 64 visible ASCII characters");
    parser->request->client = strdup(value);
    return parser->request->client != NULL ? 0 : out_of_memory(parser);
}

static int
take_state(const struct parser *parser, const char *value)
{
    struct request *request = parser->request;
    size_t len = strlen(value);

    if (len == 0 || len > REQUEST_STATE_NAME_MAX || !utf8_is_valid(slice_of(value)))
        return refuse_parameter(parser, "state",
                                "is not the name of a table, at most 256 bytes of UTF-8");
    for (size_t i = 0; i < request->state_count; i++)
        if (strcasecmp(request->states[i], value) ==
            0) /* as SQLite compares names of tables */
            return 0;
    if (request->state_count == REQUEST_STATES_MAX)
        return refuse_parameter(parser, "state", "is given more than 8 times");
    char *name = strdup(value);
    if (name == NULL)
        return out_of_memory(parser);
    request->states[request->state_count++] = name;
    return 0;
}

static int
take_number(const struct parser *parser, const struct parameter_rule *rule, int64_t *number,
            const char *value)
{
    if (parse_count(value, rule->min, rule->max, number) != 0)
        return refuse_value(parser, rule->name, value, rule->wanted);
    return 0;
}

static int
take_parameter(const struct parser *parser, struct wishes *wishes,
               const struct parameter_rule *rule, const char *value)
{
    enum parameter parameter = rule->parameter;

    bool is_repeatable = parameter == PARAM_CHANNEL || parameter == PARAM_STATE;
    if (wishes->given[parameter] && !is_repeatable)
        return refuse_parameter(parser, rule->name, "is given twice");
    wishes->given[parameter] = true;
    switch (parameter) {
    case PARAM_CHANNEL:
        return take_channel(parser, value);
    case PARAM_LAST_EVENT_ID:
        wishes->last_event_id = start_id_parse(value);
        return 0;
    case PARAM_SINCE:
        return take_since(parser, &wishes->since, value);
    case PARAM_TICKET:
        return take_ticket(parser, value);
    case PARAM_CLIENT:
        return take_client(parser, value);
    case PARAM_STATE:
        return take_state(parser, value);
    case PARAM_LAST:
    case PARAM_PING:
    case PARAM_THROTTLE:
    case PARAM_WAIT:
    case PARAM_ENVELOPE:
    case PARAMS:
        break;
    }
    return take_number(parser, rule, &wishes->numbers[parameter], value);
}

static int
refuse_name(const struct parser *parser)
{
    error_set(parser->error, "a parameter's name has a broken %% escape or a NUL in it");
    return 400;
}

static int
parse_pair(const struct parser *parser, struct wishes *wishes,
           const struct urlencoded_pair *pair)
{
    char name[REQUEST_QUERY_MAX + 1], value[REQUEST_QUERY_MAX + 1];

    if (urlencoded_decode(name, pair->name) != 0)
        return refuse_name(parser);
    const struct parameter_rule *rule = find_rule(name);
    if (rule == NULL)
        return unknown_parameter_is_ignored(name) ? 0 : refuse_unknown(parser, name);
    if (urlencoded_decode(value, pair->value) != 0)
        return refuse_parameter(parser, rule->name, "has a broken % escape or a NUL in it");
    return take_parameter(parser, wishes, rule, value);
}

/* One pair of a POST's query. */
static int
parse_post_pair(const struct parser *parser, const struct urlencoded_pair *pair)
{
    static const char *const body_fields[] = {"channel", "event",        "data",
                                              "to",      "collapse_key", "ttl"};
    char name[REQUEST_QUERY_MAX + 1], value[REQUEST_QUERY_MAX + 1];

    if (urlencoded_decode(name, pair->name) != 0)
        return refuse_name(parser);
    for (size_t i = 0; i < sizeof body_fields / sizeof *body_fields; i++) {
        if (strcmp(name, body_fields[i]) == 0)
            return refuse_parameter(parser, body_fields[i], "belongs into the body");
    }
    if (unknown_parameter_is_ignored(name))
        return 0;
    if (strcmp(name, "ticket") != 0)
        return refuse_unknown(parser, name);
    if (parser->request->ticket != NULL)
        return refuse_parameter(parser, "ticket", "is given twice");
    if (urlencoded_decode(value, pair->value) != 0)
        return refuse_parameter(parser, "ticket", "has a broken % escape or a NUL in it");
    return take_ticket(parser, value);
}

static int
refuse_long_query(const struct parser *parser)
{
    error_set(parser->error, "the query string is longer than %d bytes", REQUEST_QUERY_MAX);
    return 400;
}

int
stream_params_parse_post(struct request *request, const char *query, struct error *error)
{
    const struct parser parser = {request, NULL, error};
    struct slice rest = slice_of(query);
    struct urlencoded_pair pair;
    int status = 0;

    if (rest.len > REQUEST_QUERY_MAX)
        return refuse_long_query(&parser);
    while (status == 0 && urlencoded_next(&rest, &pair))
        status = parse_post_pair(&parser, &pair);
    return status;
}

static int
parse_query(const struct parser *parser, struct wishes *wishes)
{
    struct slice query = slice_of(parser->text->query);
    struct urlencoded_pair pair;

    if (query.len > REQUEST_QUERY_MAX)
        return refuse_long_query(parser);
    while (urlencoded_next(&query, &pair)) {
        int status = parse_pair(parser, wishes, &pair);
        if (status != 0)
            return status;
    }
    if (wishes->given[PARAM_SINCE] && wishes->given[PARAM_LAST])
        return refuse_parameter(parser, "since", "cannot be together with last");
    bool has_history = wishes->given[PARAM_LAST] ||
                       (wishes->given[PARAM_SINCE] && wishes->since.kind != START_AFTER);
    if (wishes->given[PARAM_STATE] && has_history)
        return refuse_parameter(parser, "state",
                                "cannot be together with last, nor with since but an id: "
                                "the rows of the table are the history");
    return compile_channels(parser);
}

/* --- format and start ----------------------------------------------------------------- */

static int
choose_format(const struct parser *parser, const struct wishes *wishes)
{
    /* JSON stands before NDJSON, for a reader that accepts application with a star. The last three
     * are names of one format. */
    static const char *const types[] = {"text/event-stream",    "application/json",
                                        "application/x-ndjson", "application/ndjson",
                                        "application/jsonl",    NULL};
    static const enum format formats[] = {FORMAT_SSE, FORMAT_JSON, FORMAT_NDJSON,
                                          FORMAT_NDJSON, FORMAT_NDJSON};
    struct request *request = parser->request;

    int choice = accept_choose(parser->text->accept, types);
    if (choice < 0) {
        error_set(parser->error, "not acceptable: there are text/event-stream, "
                                 "application/x-ndjson and application/json");
        return 406;
    }
    request->format = formats[choice];
    request->media_type = types[choice];
    if (request->format == FORMAT_SSE && wishes->numbers[PARAM_ENVELOPE] != 0)
        request->format = FORMAT_ENVELOPE;
    if (wishes->given[PARAM_WAIT] && request->format != FORMAT_JSON)
        return refuse_parameter(parser, "wait", "needs Accept: application/json");
    return 0;
}

/* The header wins over last_event_id=, that over since= and last=. */
static struct start_id
choose_start(const struct parser *parser, const struct wishes *wishes)
{
    struct start_id header = start_id_parse(parser->text->last_event_id);

    if (header.kind != START_TAIL)
        return header;
    if (wishes->last_event_id.kind != START_TAIL)
        return wishes->last_event_id;
    if (wishes->given[PARAM_LAST])
        return (struct start_id){.kind = START_LAST, .value = wishes->numbers[PARAM_LAST]};
    return wishes->since;
}

int
stream_params_parse(struct request *request, const struct stream_params_text *text,
                    struct error *error)
{
    const struct parser parser = {request, text, error};
    struct wishes wishes = {0};

    int status = parse_query(&parser, &wishes);
    if (status != 0)
        return status;
    struct start_id start = choose_start(&parser, &wishes);
    request->start = start.kind;
    request->start_value = start.value;
    memcpy(request->start_text, start.text, sizeof start.text);
    request->ping = wishes.numbers[PARAM_PING] != 0;
    request->throttle_ms = (uint32_t)wishes.numbers[PARAM_THROTTLE];
    request->wait_s = (uint32_t)wishes.numbers[PARAM_WAIT];
    return choose_format(&parser, &wishes);
}
