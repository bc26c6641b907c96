/* request.c - one request's meta-variables, judged from the outside in.
 *
 * Called by the gateway's user once for each request. The flow of request_parse: collect the
 * meta-variables we know (http/variables.c); path, method; what the web server grants (user,
 * channels, admin); then, for a stream, what http/stream_params.c makes of query, Accept and
 * Last-Event-ID. Whether the requester may read what is asked for is not decided here but in
 * access. */
#include "config.h"

#include "http/request.h"

#include <stdlib.h>
#include <string.h>

#include "http/accept.h"
#include "http/stream_params.h"
#include "http/variables.h"
#include "base/parse_number.h"

struct parser {
    struct request *request;
    const char *mount; /* NULL: none */
    struct variables variables;
    struct error *error;
};

static const char *
value_of(const struct parser *parser, enum variable variable)
{
    const char *value = parser->variables.values[variable];
    return value != NULL ? value : "";
}

/* --- refusals ------------------------------------------------------------------------- */

static int
out_of_memory(const struct parser *parser)
{
    error_set(parser->error, "out of memory");
    return 503;
}

/* Copies a variable; an empty one is NULL. */
static int
copy_variable(const struct parser *parser, enum variable variable, char **copy)
{
    const char *value = value_of(parser, variable);

    if (*value == '\0')
        return 0;
    *copy = strdup(value);
    return *copy != NULL ? 0 : out_of_memory(parser);
}

static int
copy_origin_and_address(const struct parser *parser)
{
    struct request *request = parser->request;
    int status = copy_variable(parser, VAR_ORIGIN, &request->origin);
    if (status == 0)
        status = copy_variable(parser, VAR_CORS_METHOD, &request->cors_method);
    if (status == 0)
        status = copy_variable(parser, VAR_CORS_HEADERS, &request->cors_headers);
    if (status == 0)
        status = copy_variable(parser, VAR_ADDRESS, &request->address);
    return status;
}

/* Where tickets are looked for; what they grant is decided in access. */
static int
copy_credentials(const struct parser *parser)
{
    int status = copy_variable(parser, VAR_AUTHORIZATION, &parser->request->authorization);
    if (status != 0)
        return status;
    return copy_variable(parser, VAR_COOKIE, &parser->request->cookie);
}

/* --- path and method ----------------------------------------------------------------- */

/* The part after the mount point; the whole path if it is not below it. */
static const char *
below_mount(const char *mount, const char *path)
{
    size_t len = mount != NULL ? strlen(mount) : 0;
    if (len == 0 || strncmp(path, mount, len) != 0)
        return path;
    return path[len] == '\0' || path[len] == '/' ? path + len : path;
}

static int
parse_path(const struct parser *parser)
{
    static const struct {
        const char *path;
        enum request_resource resource;
    } resources[] = {{"/", RESOURCE_STREAM},         {"/health", RESOURCE_HEALTH},
                     {"/metrics", RESOURCE_METRICS}, {"/read", RESOURCE_READ},
                     {"/status", RESOURCE_STATUS},   {"/whoami", RESOURCE_WHOAMI},
                     {"/push", RESOURCE_PUSH}};
    const char *path = below_mount(parser->mount, value_of(parser, VAR_PATH));
    char quoted[PARSE_QUOTED_MAX];

    if (*path == '\0')
        path = "/";
    size_t len = strlen(path);
    if (len > 1 && path[len - 1] == '/')
        len--;
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        if (strlen(resources[i].path) == len && memcmp(resources[i].path, path, len) == 0) {
            parser->request->resource = resources[i].resource;
            return 0;
        }
    }
    error_set(
        parser->error,
        "unknown resource %s: only /health, /metrics, /push, /read, /status and /whoami",
        parse_quote(quoted, path));
    return 404;
}

/* POST publishes, moves read marks, which nothing else does, and subscribes to Web Push, which
 * DELETE ends. */
static bool
method_fits(enum request_method method, enum request_resource resource)
{
    if (resource == RESOURCE_READ)
        return method == METHOD_POST || method == METHOD_OPTIONS;
    if (method == METHOD_DELETE)
        return resource == RESOURCE_PUSH;
    return method != METHOD_POST || resource == RESOURCE_STREAM ||
           resource == RESOURCE_PUSH;
}

static int
parse_method(const struct parser *parser)
{
    static const char *const names[] = {[METHOD_GET] = "GET",
                                        [METHOD_HEAD] = "HEAD",
                                        [METHOD_OPTIONS] = "OPTIONS",
                                        [METHOD_POST] = "POST",
                                        [METHOD_DELETE] = "DELETE"};
    const char *method = value_of(parser, VAR_METHOD);
    char quoted[PARSE_QUOTED_MAX];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(method, names[i]) != 0)
            continue;
        if (!method_fits((enum request_method)i, parser->request->resource))
            break;
        parser->request->method = (enum request_method)i;
        return 0;
    }
    error_set(parser->error, "method %s is not allowed here: %s are",
              parse_quote(quoted, method),
              parser->request->resource == RESOURCE_READ ? "POST and OPTIONS"
                                                         : "GET, HEAD and OPTIONS");
    return 405;
}

/* --- what the web server grants ------------------------------------------------------ */

static int
refuse_pattern(const struct parser *parser, enum variable variable, struct slice pattern,
               enum patterns_result result)
{
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(parser);
    /* The client does not see the pattern, which is the administrator's. */
    error_set(parser->error, "%s: a pattern of %zu bytes %s", variable_name(variable),
              pattern.len, patterns_strerror(result));
    return 500;
}

static int
compile_patterns(const struct parser *parser, enum variable variable,
                 struct patterns *patterns)
{
    enum patterns_result result = patterns_compile(patterns, PATTERNS_GRANTED);
    if (result == PATTERNS_OK)
        return 0;
    if (result == PATTERNS_NO_MEMORY)
        return out_of_memory(parser);
    error_set(parser->error, "%s: %s", variable_name(variable),
              patterns_list_strerror(PATTERNS_GRANTED, result));
    return 500;
}

/* A list of patterns, if the variable is there at all: *there. */
static int
parse_patterns(const struct parser *parser, enum variable variable,
               struct patterns *patterns, bool *there)
{
    const char *rest = parser->variables.values[variable];

    *there = rest != NULL;
    if (rest == NULL)
        return 0;
    for (;;) {
        rest += strspn(rest, " \t");
        if (*rest == '\0')
            return compile_patterns(parser, variable, patterns);
        struct slice pattern = {rest, strcspn(rest, " \t")};
        enum patterns_result result = patterns_add(patterns, pattern);
        if (result != PATTERNS_OK)
            return refuse_pattern(parser, variable, pattern, result);
        rest += pattern.len;
    }
}

/* How many streams the web server has room for. */
static int
parse_max_streams(const struct parser *parser)
{
    const char *text = parser->variables.values[VAR_MAX_STREAMS];
    char quoted[PARSE_QUOTED_MAX];
    int64_t count = 0;

    if (text == NULL || *text == '\0')
        return 0;
    if (parse_count(text, 1, REQUEST_MAX_STREAMS_MAX, &count) != 0) {
        error_set(parser->error,
                  "the web server's ROWCAST_MAX_STREAMS: %s is not a number "
                  "from 1 to %d",
                  parse_quote(quoted, text), REQUEST_MAX_STREAMS_MAX);
        return 500;
    }
    parser->request->max_streams = (uint64_t)count;
    return 0;
}

static int
parse_grants(const struct parser *parser)
{
    if (parser->variables.conflict != NULL) {
        error_set(parser->error, "the web server sets %s twice, with different values",
                  parser->variables.conflict);
        return 500;
    }
    parser->request->admin = strcmp(value_of(parser, VAR_ADMIN), "1") == 0;
    struct request *request = parser->request;
    int status = parse_max_streams(parser);
    if (status == 0)
        status = copy_variable(parser, VAR_USER, &request->filter.user);
    if (status == 0)
        status = parse_patterns(parser, VAR_CHANNELS,
                                &request->filter.bounds[FILTER_BOUND_LOCATION],
                                &request->filter.bounded[FILTER_BOUND_LOCATION]);
    if (status == 0 &&
        (request->method == METHOD_POST || request->resource == RESOURCE_WHOAMI))
        status =
            parse_patterns(parser, VAR_PUBLISH, &request->publish, &request->has_publish);
    return status;
}

static int
parse_post(const struct parser *parser)
{
    parser->request->post = (struct request_post){
        .content_type = parser->variables.values[VAR_CONTENT_TYPE],
        .content_length = parser->variables.values[VAR_CONTENT_LENGTH],
        .host = parser->variables.values[VAR_HOST],
        .https = parser->variables.values[VAR_HTTPS],
        .fetch_site = parser->variables.values[VAR_FETCH_SITE]};
    return stream_params_parse_post(parser->request, value_of(parser, VAR_QUERY),
                                    parser->error);
}

static int
parse_resource(const struct parser *parser)
{
    static const char *const status_types[] = {"application/json", "text/html",
                                               "text/event-stream", NULL};

    if (parser->request->method == METHOD_OPTIONS)
        return 0;
    if (parser->request->method == METHOD_POST ||
        parser->request->resource == RESOURCE_PUSH)
        return parse_post(parser);
    if (parser->request->resource == RESOURCE_STREAM ||
        parser->request->resource == RESOURCE_WHOAMI)
        return stream_params_parse(
            parser->request,
            &(struct stream_params_text){value_of(parser, VAR_QUERY),
                                         value_of(parser, VAR_ACCEPT),
                                         value_of(parser, VAR_LAST_EVENT_ID)},
            parser->error);
    int type = accept_choose(parser->variables.values[VAR_ACCEPT], status_types);
    parser->request->wants_html = type == 1;
    parser->request->wants_events = type == 2;
    return 0;
}

int
request_parse(struct request *request, const char *const *envp, const char *mount,
              struct error *error)
{
    static int (*const steps[])(const struct parser *) = {
        copy_origin_and_address, copy_credentials, parse_path, parse_method, parse_grants,
        parse_resource};
    struct parser parser = {.request = request, .mount = mount, .error = error};

    *request = (struct request){.start = START_TAIL};
    variables_collect(&parser.variables, envp);
    /* HEAD is known before anything is refused: no answer to it has a body. */
    if (strcmp(value_of(&parser, VAR_METHOD), "HEAD") == 0)
        request->method = METHOD_HEAD;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int status = steps[i](&parser);
        if (status != 0)
            return status;
    }
    return 0;
}

void
request_fini(struct request *request)
{
    for (size_t i = 0; i < request->state_count; i++)
        free(request->states[i]);
    filter_fini(&request->filter);
    patterns_fini(&request->publish);
    patterns_fini(&request->ticket_publish);
    free(request->client);
    free(request->ticket);
    free(request->authorization);
    free(request->cookie);
    free(request->origin);
    free(request->cors_method);
    free(request->cors_headers);
    free(request->address);
    *request = (struct request){0};
}
