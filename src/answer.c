/* answer.c - every response header that rowcast sends is written here. */
#include "config.h"

#include "answer.h"

/* For a browser's fetch or a script that tries again; the lock's own wait is in publisher.c. */
#define RETRY_AFTER_S 2

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
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

static const char *
allowed_methods(const struct request *request)
{
    bool post = request->takes_post && request->resource == RESOURCE_STREAM;
    return post ? "GET, HEAD, OPTIONS, POST" : "GET, HEAD, OPTIONS";
}

void
answer_append_cors(struct buf *buf, const struct option_list *origins, const char *origin)
{
    bool exact = false;
    bool any = false;
    for (size_t i = 0; i < origins->count; i++) {
        if (strcmp(origins->items[i], "*") == 0)
            any = true;
        else if (origin != NULL && strcmp(origins->items[i], origin) == 0)
            exact = true;
    }
    if (origins->count > 0)
        buf_append_text(buf, "Vary: Origin\r\n");
    if (exact) {
        buf_append_text(buf, "Access-Control-Allow-Origin: ");
        buf_append_text(buf, origin);
        buf_append_text(buf, "\r\nAccess-Control-Allow-Credentials: true\r\n");
    } else if (any) {
        buf_append_text(buf, "Access-Control-Allow-Origin: *\r\n");
    }
}

void
answer_append_stream_headers(struct buf *buf, const struct request *request,
                             const struct option_list *origins)
{
    static const char *const types[FORMATS] = {[FORMAT_SSE] = "text/event-stream",
                                               [FORMAT_ENVELOPE] = "text/event-stream",
                                               [FORMAT_NDJSON] = "application/x-ndjson",
                                               [FORMAT_JSON] = "application/json"};
    buf_append_text(buf, "Content-Type: ");
    buf_append_text(buf, types[request->format]);
    /* X-Accel-Buffering is nginx's: it would hold events back until a buffer is full. */
    buf_append_text(buf, "\r\nCache-Control: no-cache, no-transform\r\n"
                         "X-Accel-Buffering: no\r\n"
                         "X-Content-Type-Options: nosniff\r\n");
    answer_append_cors(buf, origins, request->origin);
    buf_append_text(buf, "\r\n");
}

void
answer_append_body(struct buf *buf, int status, const char *content_type, struct slice body,
                   const struct request *request, const struct option_list *origins)
{
    buf_printf(buf, "Status: %d %s\r\n", status, status_name(status));
    buf_printf(buf, "Content-Type: %s\r\n", content_type);
    buf_append_text(buf, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if (status == 405)
        buf_printf(buf, "Allow: %s\r\n", allowed_methods(request));
    if (status == 503 && request->method == METHOD_POST)
        buf_printf(buf, "Retry-After: %d\r\n", RETRY_AFTER_S);
    answer_append_cors(buf, origins, request->origin);
    buf_append_text(buf, "\r\n");
    if (request->method != METHOD_HEAD)
        buf_append(buf, body.p, body.len);
}

void
answer_append_text(struct buf *buf, int status, const char *text,
                   const struct request *request, const struct option_list *origins)
{
    struct buf line = {0};
    buf_append_text(&line, text);
    buf_append_text(&line, "\n");
    answer_append_body(buf, status, "text/plain; charset=utf-8", buf_slice(&line), request,
                       origins);
    buf_fini(&line);
}

void
answer_append_options(struct buf *buf, const struct request *request,
                      const struct option_list *origins)
{
    buf_printf(buf, "Status: 204 No Content\r\nAllow: %s\r\n", allowed_methods(request));
    answer_append_cors(buf, origins, request->origin);
    if (origins->count > 0 && request->origin != NULL)
        buf_printf(buf,
                   "Access-Control-Allow-Methods: %s\r\n"
                   "Access-Control-Allow-Headers: Last-Event-ID, Authorization, "
                   "Cache-Control, Content-Type\r\n"
                   "Access-Control-Max-Age: 600\r\n",
                   allowed_methods(request));
    buf_append_text(buf, "\r\n");
}
