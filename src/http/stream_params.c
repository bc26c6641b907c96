/* stream_params.c - what a stream's URL and headers ask for.
 *
 * http/request.c calls it once the path and the method are known. One table has the rules of the
 * query parameters. Their values are collected as wishes first, because some override others.
 *
 * A new parameter is a line in `rules` and `enum parameter`, a field of struct request, and what
 * CONTRIBUTING.md lists. One that is no number has a function in http/parameter.c. */
#include "config.h"

#include "http/stream_params.h"

#include <string.h>

#include "http/accept.h"
#include "http/parameter.h"
#include "http/start_id.h"
#include "http/unknown_parameter.h"
#include "http/urlencoded.h"
#include "base/parse_number.h"

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
refuse_unknown(const struct stream_params_parser *parser, const char *name)
{
    const char *names[sizeof rules / sizeof *rules];
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        names[i] = rules[i].name;
    unknown_parameter_explain(name, names, sizeof rules / sizeof *rules, parser->error);
    return 400;
}

static int
take_number(const struct stream_params_parser *parser, const struct parameter_rule *rule,
            int64_t *number, const char *value)
{
    if (parse_count(value, rule->min, rule->max, number) != 0)
        return parameter_refuse_value(parser, rule->name, value, rule->wanted);
    return 0;
}

static int
take_parameter(const struct stream_params_parser *parser, struct wishes *wishes,
               const struct parameter_rule *rule, const char *value)
{
    enum parameter parameter = rule->parameter;

    bool is_repeatable = parameter == PARAM_CHANNEL || parameter == PARAM_STATE;
    if (wishes->given[parameter] && !is_repeatable)
        return parameter_refuse(parser, rule->name, "is given twice");
    wishes->given[parameter] = true;
    switch (parameter) {
    case PARAM_CHANNEL:
        return parameter_take_channel(parser, value);
    case PARAM_LAST_EVENT_ID:
        wishes->last_event_id = start_id_parse(value);
        return 0;
    case PARAM_SINCE:
        return parameter_take_since(parser, &wishes->since, value);
    case PARAM_TICKET:
        return parameter_take_ticket(parser, value);
    case PARAM_CLIENT:
        return parameter_take_client(parser, value);
    case PARAM_STATE:
        return parameter_take_state(parser, value);
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
refuse_name(const struct stream_params_parser *parser)
{
    error_set(parser->error, "a parameter's name has a broken %% escape or a NUL in it");
    return 400;
}

static int
parse_pair(const struct stream_params_parser *parser, struct wishes *wishes,
           const struct urlencoded_pair *pair)
{
    char name[REQUEST_QUERY_MAX + 1], value[REQUEST_QUERY_MAX + 1];

    if (urlencoded_decode(name, pair->name) != 0)
        return refuse_name(parser);
    const struct parameter_rule *rule = find_rule(name);
    if (rule == NULL)
        return unknown_parameter_is_ignored(name) ? 0 : refuse_unknown(parser, name);
    if (urlencoded_decode(value, pair->value) != 0)
        return parameter_refuse(parser, rule->name, "has a broken % escape or a NUL in it");
    return take_parameter(parser, wishes, rule, value);
}

/* One pair of a POST's query. */
static int
parse_post_pair(const struct stream_params_parser *parser,
                const struct urlencoded_pair *pair)
{
    static const char *const body_fields[] = {"channel", "event",        "data",
                                              "to",      "collapse_key", "ttl"};
    char name[REQUEST_QUERY_MAX + 1], value[REQUEST_QUERY_MAX + 1];

    if (urlencoded_decode(name, pair->name) != 0)
        return refuse_name(parser);
    for (size_t i = 0; i < sizeof body_fields / sizeof *body_fields; i++) {
        if (strcmp(name, body_fields[i]) == 0)
            return parameter_refuse(parser, body_fields[i], "belongs into the body");
    }
    if (unknown_parameter_is_ignored(name))
        return 0;
    if (strcmp(name, "ticket") != 0)
        return refuse_unknown(parser, name);
    if (parser->request->ticket != NULL)
        return parameter_refuse(parser, "ticket", "is given twice");
    if (urlencoded_decode(value, pair->value) != 0)
        return parameter_refuse(parser, "ticket", "has a broken % escape or a NUL in it");
    return parameter_take_ticket(parser, value);
}

static int
refuse_long_query(const struct stream_params_parser *parser)
{
    error_set(parser->error, "the query string is longer than %d bytes", REQUEST_QUERY_MAX);
    return 400;
}

int
stream_params_parse_post(struct request *request, const char *query, struct error *error)
{
    const struct stream_params_parser parser = {request, NULL, error};
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
parse_query(const struct stream_params_parser *parser, struct wishes *wishes)
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
        return parameter_refuse(parser, "since", "cannot be together with last");
    bool has_history = wishes->given[PARAM_LAST] ||
                       (wishes->given[PARAM_SINCE] && wishes->since.kind != START_AFTER);
    if (wishes->given[PARAM_STATE] && has_history)
        return parameter_refuse(parser, "state",
                                "cannot be together with last, nor with since but an id: "
                                "the rows of the table are the history");
    return parameter_compile_channels(parser);
}

/* --- format and start ----------------------------------------------------------------- */

static int
choose_format(const struct stream_params_parser *parser, const struct wishes *wishes)
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
        return parameter_refuse(parser, "wait", "needs Accept: application/json");
    return 0;
}

/* The header wins over last_event_id=, that over since= and last=. */
static struct start_id
choose_start(const struct stream_params_parser *parser, const struct wishes *wishes)
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
    const struct stream_params_parser parser = {request, text, error};
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
