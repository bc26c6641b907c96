/* answer.c - every response header that rowcast sends is written here. */
#include "config.h"

#include "answer.h"

#include <inttypes.h>
#include <stdio.h>

#define ALLOWED_METHODS "GET, HEAD, OPTIONS"

static const char *
status_name(int status)
{
    switch (status) {
    case 200:
        return "OK";
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
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
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

static void
append_answer(struct buf *buf, int status, const char *content_type, const char *headers,
              struct slice body, const struct request *request,
              const struct option_list *origins)
{
    buf_printf(buf, "Status: %d %s\r\n", status, status_name(status));
    buf_printf(buf, "Content-Type: %s\r\n%s", content_type, headers);
    buf_append_text(buf, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if (status == 405)
        buf_append_text(buf, "Allow: " ALLOWED_METHODS "\r\n");
    answer_append_cors(buf, origins, request->origin);
    buf_append_text(buf, "\r\n");
    if (request->method != METHOD_HEAD)
        buf_append(buf, body.p, body.len);
}

void
answer_append_health(struct buf *buf, int status, const char *text, uint64_t lag_ms,
                     const struct request *request, const struct option_list *origins)
{
    char header[64];
    struct buf line = {0};
    snprintf(header, sizeof header, "X-Rowcast-Lag-Ms: %" PRIu64 "\r\n", lag_ms);
    buf_append_text(&line, text);
    buf_append_text(&line, "\n");
    append_answer(buf, status, "text/plain; charset=utf-8", header, buf_slice(&line),
                  request, origins);
    buf_fini(&line);
}

void
answer_append_page(struct buf *buf, struct slice page, const char *nonce,
                   const struct request *request, const struct option_list *origins)
{
    char header[320];
    snprintf(header, sizeof header,
             "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; "
             "style-src 'nonce-%s'; connect-src 'self'; frame-ancestors 'none'\r\n"
             "Referrer-Policy: no-referrer\r\n",
             nonce, nonce);
    append_answer(buf, 200, "text/html; charset=utf-8", header, page, request, origins);
}

void
answer_append_body(struct buf *buf, int status, const char *content_type, struct slice body,
                   const struct request *request, const struct option_list *origins)
{
    append_answer(buf, status, content_type, "", body, request, origins);
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
    buf_append_text(buf, "Status: 204 No Content\r\nAllow: " ALLOWED_METHODS "\r\n");
    answer_append_cors(buf, origins, request->origin);
    if (origins->count > 0 && request->origin != NULL)
        buf_append_text(buf, "Access-Control-Allow-Methods: " ALLOWED_METHODS "\r\n"
                             "Access-Control-Allow-Headers: Last-Event-ID, Authorization, "
                             "Cache-Control, Content-Type\r\n"
                             "Access-Control-Max-Age: 600\r\n");
    buf_append_text(buf, "\r\n");
}
