/* parameter.c - the value of one query parameter: taken into the request, or refused.
 *
 * http/stream_params.c calls it with each value that is no number, once the name is known and the
 * value is decoded. A refusal names the parameter and says what is wrong with it. Which parameters
 * there are, how often each may come, and which exclude each other is decided there. */
#include "config.h"

#include "http/parameter.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/parse_number.h"

/* --- refusals ------------------------------------------------------------------------- */

static int
out_of_memory(const struct stream_params_parser *parser)
{
    error_set(parser->error, "out of memory");
    return 503;
}

/* "bad parameter last: "x" is not a number from 1 to 1000" */
int
parameter_refuse_value(const struct stream_params_parser *parser, const char *name,
                       const char *value, const char *problem)
{
    char quoted[PARSE_QUOTED_MAX];

    error_set(parser->error, "bad parameter %s: %s %s", name, parse_quote(quoted, value),
              problem);
    return 400;
}

int
parameter_refuse(const struct stream_params_parser *parser, const char *name,
                 const char *problem)
{
    error_set(parser->error, "bad parameter %s: %s", name, problem);
    return 400;
}

/* --- values --------------------------------------------------------------------------- */

int
parameter_take_channel(const struct stream_params_parser *parser, const char *value)
{
    struct slice channel = slice_of(value);

    if (!utf8_is_valid(channel))
        return parameter_refuse_value(parser, "channel", value, "is not UTF-8");
    enum patterns_result result = patterns_add(&parser->request->filter.requested, channel);
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(parser);
    if (result != PATTERNS_OK)
        return parameter_refuse_value(parser, "channel", value, patterns_strerror(result));
    return 0;
}

int
parameter_compile_channels(const struct stream_params_parser *parser)
{
    struct patterns *requested = &parser->request->filter.requested;
    enum patterns_result result = patterns_compile(requested, PATTERNS_ASKED);
    if (result == PATTERNS_OK)
        return 0;
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(parser);
    return parameter_refuse(parser, "channel",
                            patterns_list_strerror(PATTERNS_ASKED, result));
}

int
parameter_take_since(const struct stream_params_parser *parser, struct start_id *since,
                     const char *value)
{
    if (start_id_parse_since(value, since) != 0)
        return parameter_refuse_value(
            parser, "since", value,
            "is not all, an id, or an age such as 90s, 10m, 2h, 7d");
    return 0;
}

int
parameter_take_ticket(const struct stream_params_parser *parser, const char *value)
{
    if (*value == '\0')
        return parameter_refuse(parser, "ticket", "is empty");
    parser->request->ticket = strdup(value);
    return parser->request->ticket != NULL ? 0 : out_of_memory(parser);
}

/* A text that fits into a log line and a URL as it is. */
int
parameter_take_client(const struct stream_params_parser *parser, const char *value)
{
    size_t len = strlen(value);
    bool good = len > 0 && len <= REQUEST_CLIENT_MAX;
    for (size_t i = 0; good && i < len; i++)
        good = value[i] > ' ' && value[i] < 0x7f;
    if (!good)
        return parameter_refuse(parser, "client",
                                "is not 1 to 64 visible ASCII characters");
    parser->request->client = strdup(value);
    return parser->request->client != NULL ? 0 : out_of_memory(parser);
}

int
parameter_take_state(const struct stream_params_parser *parser, const char *value)
{
    struct request *request = parser->request;
    size_t len = strlen(value);

    if (len == 0 || len > REQUEST_STATE_NAME_MAX || !utf8_is_valid(slice_of(value)))
        return parameter_refuse(parser, "state",
                                "is not the name of a table, at most 256 bytes of UTF-8");
    for (size_t i = 0; i < request->state_count; i++)
        if (strcasecmp(request->states[i], value) ==
            0) /* as SQLite compares names of tables */
            return 0;
    if (request->state_count == REQUEST_STATES_MAX)
        return parameter_refuse(parser, "state", "is given more than 8 times");
    char *name = strdup(value);
    if (name == NULL)
        return out_of_memory(parser);
    request->states[request->state_count++] = name;
    return 0;
}
