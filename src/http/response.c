/* response.c - every response header that rowcast sends is written here. */
#include "config.h"

#include "http/response.h"

#include <inttypes.h>
#include <strings.h>

/* For a browser's fetch or a script that tries again; the lock's own wait is in publish/queue.c. */
#define RETRY_AFTER_S 2

/* What a page's script may set (Fetch standard 4.9: by name, as "*" counts neither with
 * credentials nor ever for Authorization). The first ones need no leave as long as they are short
 * and tame (2.2.2, "CORS-safelisted request-header"), but an Accept of 130 bytes does. */
#define ALLOWED_HEADERS                                                                    \
    "Accept, Accept-Language, Content-Language, Content-Type, Last-Event-ID, "             \
    "Authorization, Cache-Control, Pragma"
#define PREFLIGHT_AGE_S "600"

static const char *
status_name(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

/* Whatever the answer: a cache must not give one origin's to another (Fetch standard 3.2.7). */
static void
append_vary(struct buf *buf, const struct text_list *origins)
{
    if (origins->count > 0)
        buf_append_text(buf, "Vary: Origin\r\n");
}

static const char *
allowed_methods(const struct request *request)
{
    if (request->resource == RESOURCE_READ)
        return "OPTIONS, POST";
    bool post = request->takes_post && request->resource == RESOURCE_STREAM;
    if (request->resource == RESOURCE_PUSH)
        return "GET, HEAD, OPTIONS, POST, DELETE";
    return post ? "GET, HEAD, OPTIONS, POST" : "GET, HEAD, OPTIONS";
}

/* "null" is every sandboxed frame and local file, and any site can make itself one: it may read
 * what every site may, without the reader's cookies. */
bool
response_append_cors(struct buf *buf, const struct text_list *origins, const char *origin)
{
    bool exact = false;
    bool any = false;
    for (size_t i = 0; i < origins->count; i++) {
        if (strcmp(origins->items[i], "*") == 0)
            any = true;
        else if (origin != NULL && strcmp(origins->items[i], origin) == 0)
            exact = true;
    }
    append_vary(buf, origins);
    if (exact) {
        buf_append_text(buf, "Access-Control-Allow-Origin: ");
        buf_append_text(buf, origin);
        buf_append_text(buf, strcmp(origin, "null") == 0
                                 ? "\r\n"
                                 : "\r\nAccess-Control-Allow-Credentials: true\r\n");
    } else if (any) {
        buf_append_text(buf, "Access-Control-Allow-Origin: *\r\n");
    }
    return exact || any;
}

/* The charset is the event stream's own (HTML standard 9.2.4), but Python's requests, for one,
 * takes text without it for Latin-1. JSON has none. */
static const char *
content_type(const struct request *request)
{
    if (request->format == FORMAT_JSON)
        return "application/json";
    if (request->format != FORMAT_NDJSON)
        return "text/event-stream; charset=utf-8";
    return request->media_type != NULL ? request->media_type : "application/x-ndjson";
}

void
response_append_stream_headers(struct buf *buf, const struct request *request,
                               const struct text_list *origins)
{
    buf_append_text(buf, "Content-Type: ");
    buf_append_text(buf, content_type(request));
    /* no-store: Chromium's disk cache kept private rows of a poll. X-Accel-Buffering is nginx's: it
     * would hold events back until a buffer is full. */
    buf_append_text(buf, "\r\nCache-Control: no-cache, no-store, no-transform\r\n"
                         "X-Accel-Buffering: no\r\n"
                         "X-Content-Type-Options: nosniff\r\n");
    response_append_cors(buf, origins, request->origin);
    buf_append_text(buf, "Vary: Accept\r\n\r\n"); /* which format it is */
}

/* The headers that say how, or when, to ask again. */
static void
append_remedy(struct buf *buf, int status, const struct request *request)
{
    if (status == 405)
        buf_printf(buf, "Allow: %s\r\n", allowed_methods(request));
    /* RFC 6750 section 3: invalid_token only for a ticket that was there. */
    if (status == 401)
        buf_printf(buf, "WWW-Authenticate: Bearer realm=\"rowcast\"%s\r\n",
                   request->has_ticket ? ", error=\"invalid_token\"" : "");
    if (status == 503 &&
        (request->method == METHOD_POST || request->method == METHOD_DELETE))
        buf_printf(buf, "Retry-After: %d\r\n", RETRY_AFTER_S);
    if (status == 429)
        buf_printf(buf, "Retry-After: %" PRIu64 "\r\n",
                   (request->too_often_ms + 999) / 1000);
}

static void
append_page_policy(struct buf *buf, const char *nonce)
{
    buf_printf(buf,
               "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; "
               "style-src 'nonce-%s'; img-src data:; connect-src 'self'; "
               "frame-ancestors 'none'\r\n"
               "Referrer-Policy: no-referrer\r\n",
               nonce, nonce);
}

static void
append_body(struct buf *buf, const struct response *response)
{
    if (response->text == NULL) {
        buf_append(buf, response->body.p, response->body.len);
    } else {
        buf_append_text(buf, response->text);
        buf_append_text(buf, "\n");
    }
}

void
response_append(struct buf *buf, const struct response *response,
                const struct request *request, const struct text_list *origins)
{
    buf_printf(buf, "Status: %d %s\r\n", response->status, status_name(response->status));
    buf_printf(buf, "Content-Type: %s\r\n",
               response->content_type != NULL ? response->content_type
                                              : "text/plain; charset=utf-8");
    if (response->has_lag)
        buf_printf(buf, "X-Rowcast-Lag-Ms: %" PRIu64 "\r\n", response->lag_ms);
    if (response->nonce != NULL)
        append_page_policy(buf, response->nonce);
    buf_append_text(buf, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    append_remedy(buf, response->status, request);
    response_append_cors(buf, origins, request->origin);
    buf_append_text(buf, "\r\n");
    if (request->method != METHOD_HEAD)
        append_body(buf, response);
}

/* --- preflights ---------------------------------------------------------------------- */

/* Cuts the next name off a list such as "a, b"; empty when there is none. */
static struct slice
next_name(const char **list)
{
    *list += strspn(*list, ", \t");
    struct slice name = {*list, strcspn(*list, ", \t")};
    *list += name.len;
    return name;
}

/* Whether each name of `asked` is in `allowed`. Header names know no case, methods do. */
static bool
list_covers(const char *allowed, const char *asked,
            int (*compare)(const char *, const char *, size_t))
{
    struct slice name;
    while ((name = next_name(&asked)).len > 0) {
        const char *rest = allowed;
        struct slice known;
        do {
            known = next_name(&rest);
        } while (known.len > 0 &&
                 (known.len != name.len || compare(known.p, name.p, name.len) != 0));
        if (known.len == 0)
            return false;
    }
    return true;
}

static bool
is_allowed_preflight(const struct request *request)
{
    if (request->cors_headers != NULL &&
        !list_covers(ALLOWED_HEADERS, request->cors_headers, strncasecmp))
        return false;
    return list_covers(allowed_methods(request), request->cors_method, strncmp);
}

void
response_append_options(struct buf *buf, const struct request *request,
                        const struct text_list *origins)
{
    buf_printf(buf, "Status: 204 No Content\r\nAllow: %s\r\n", allowed_methods(request));
    if (request->cors_method == NULL) {
        response_append_cors(buf, origins, request->origin);
    } else if (!is_allowed_preflight(request)) {
        append_vary(buf, origins); /* the answer allows nothing */
    } else if (response_append_cors(buf, origins, request->origin) &&
               request->origin != NULL) {
        buf_printf(buf,
                   "Access-Control-Allow-Methods: %s\r\n"
                   "Access-Control-Allow-Headers: " ALLOWED_HEADERS "\r\n"
                   "Access-Control-Max-Age: " PREFLIGHT_AGE_S "\r\n",
                   allowed_methods(request));
    }
    buf_append_text(buf, "\r\n");
}
