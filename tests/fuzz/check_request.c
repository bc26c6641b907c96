/* check_request.c - the promises of http/request.h, as assertions. */
#include "config.h"

#include "check_request.h"

#include <unistr.h>

#include "fuzz.h"
#include "http/request.h"

static bool
has_variable(const char *const *envp, const char *prefix)
{
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

static void
check_patterns(const struct patterns *patterns)
{
    MUST(patterns->count <= FILTER_PATTERNS_MAX);
    for (size_t i = 0; i < patterns->count; i++) {
        size_t len = strlen(patterns->items[i]);
        MUST(len > 0 && len <= FILTER_PATTERN_MAX);
        MUST(strpbrk(patterns->items[i], "\r\n") == NULL);
        MUST(i == 0 || strcmp(patterns->items[i - 1], patterns->items[i]) < 0);
    }
}

static void
check_grants(const struct request *request, const char *const *envp)
{
    const struct filter *filter = &request->filter;

    if (request->admin)
        MUST(has_variable(envp, "ROWCAST_ADMIN=1"));
    if (filter->user != NULL) {
        MUST(*filter->user != '\0');
        MUST(has_variable(envp, "REMOTE_USER="));
    }
    if (request->method != METHOD_OPTIONS || filter->bounded[FILTER_BOUND_LOCATION])
        MUST(filter->bounded[FILTER_BOUND_LOCATION] ==
             has_variable(envp, "ROWCAST_CHANNELS="));
    MUST(!filter->bounded[FILTER_BOUND_TICKET]);
    MUST(request->has_publish ==
         (request->method == METHOD_POST && has_variable(envp, "ROWCAST_PUBLISH=")));
    check_patterns(&request->publish);
    MUST(!request->has_ticket_publish && request->ticket_publish.count == 0);
}

static void
check_start(const struct request *request)
{
    MUST(memchr(request->start_text, '\0', sizeof request->start_text) != NULL);
    switch (request->start) {
    case START_TAIL:
    case START_ALL:
        MUST(request->start_value == 0 && *request->start_text == '\0');
        break;
    case START_AFTER:
        MUST(strspn(request->start_text, "-0123456789") == strlen(request->start_text));
        MUST(*request->start_text != '\0');
        break;
    case START_BAD_ID:
        MUST(request->start_value == 0 && *request->start_text != '\0');
        break;
    case START_AGE:
        MUST(request->start_value >= 0 && request->start_value <= REQUEST_AGE_MAX_MS);
        MUST(*request->start_text == '\0');
        break;
    case START_LAST:
        MUST(request->start_value >= 1 && request->start_value <= REQUEST_LAST_MAX);
        MUST(*request->start_text == '\0');
        break;
    default:
        MUST(request->start <= START_LAST);
    }
}

static void
check_accepted(const struct request *request, const char *const *envp)
{
    const struct patterns *requested = &request->filter.requested;

    MUST(request->method <= METHOD_DELETE);
    MUST(request->method != METHOD_POST || request->resource == RESOURCE_STREAM ||
         request->resource == RESOURCE_PUSH);
    MUST(request->method != METHOD_DELETE || request->resource == RESOURCE_PUSH);
    MUST(request->resource <= RESOURCE_PUSH);
    MUST(request->format < FORMATS);
    MUST(request->throttle_ms <= REQUEST_THROTTLE_MAX_MS);
    MUST(request->wait_s <= REQUEST_WAIT_MAX_S);
    MUST(request->wait_s == 0 || request->format == FORMAT_JSON);
    MUST(request->ticket == NULL || *request->ticket != '\0');
    check_patterns(requested);
    check_patterns(&request->filter.bounds[FILTER_BOUND_LOCATION]);
    for (size_t i = 0; i < requested->count; i++)
        MUST(u8_check((const uint8_t *)requested->items[i], strlen(requested->items[i])) ==
             NULL);
    check_grants(request, envp);
    check_start(request);
}

static void
check_refused(int status, const struct error *error)
{
    MUST(status == 400 || status == 404 || status == 405 || status == 406 || status == 500);
    MUST(*error->text != '\0');
    for (const char *p = error->text; *p != '\0'; p++)
        MUST((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7F);
}

void
check_request(const char *const *envp)
{
    struct request request;
    struct error error = {""};

    int status = request_parse(&request, envp, NULL, &error);
    if (status == 0)
        check_accepted(&request, envp);
    else
        check_refused(status, &error);
    /* Whatever came of it, the filter must be usable. */
    filter_matches(&request.filter, slice_of("orders"), slice_of("alice"));
    request_fini(&request);
}
