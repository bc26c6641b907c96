/* response.h - CGI response headers (RFC 3875 section 6) and short answers as text. Pure. */
#ifndef ROWCAST_HTTP_RESPONSE_H
#define ROWCAST_HTTP_RESPONSE_H

#include "base/buf.h"
#include "base/text_list.h"
#include "http/request.h"

/* The CORS headers for a requester, as the Fetch standard (section 3.2) wants them: none unless
 * `origins` (exact ones, or "*") has the request's Origin. An exact origin is answered with
 * credentials allowed ("*" never is), and a configured list with Vary: Origin for every
 * requester. On errors too, or a page could not read why it was refused. None of our headers
 * has to be exposed. Returns whether the origin may read. */
bool response_append_cors(struct buf *buf, const struct text_list *origins,
                          const char *origin);

/* The header block of a stream in the request's format, up to and with the blank line. */
void response_append_stream_headers(struct buf *buf, const struct request *request,
                                    const struct text_list *origins);

/* A whole answer. Zero fields: plain text, no body. */
struct response {
    int status;
    const char *content_type; /* NULL: text/plain in UTF-8 */
    const char *text;         /* the body, a line without its end; NULL: it is in `body` */
    struct slice body;
    /* Of an HTML page: its styles and scripts are those that carry the nonce, and it loads
     * nothing but from its own URL (Content Security Policy level 3). NULL: no page. */
    const char *nonce;
    bool has_lag; /* lag_ms is sent, as X-Rowcast-Lag-Ms: how far the feed is behind */
    uint64_t lag_ms;
};

/* Status, headers, and the body unless the method is HEAD. For 405 with Allow, for 401 with
 * WWW-Authenticate, for 429 and for 503 to a POST with Retry-After. */
void response_append(struct buf *buf, const struct response *response,
                     const struct request *request, const struct text_list *origins);

/* 204 for OPTIONS: Allow, and, for a CORS preflight (Fetch standard 4.9: Origin and
 * Access-Control-Request-Method) of an allowed origin, method and headers, the leave it asks
 * for. One that asks for more than there is gets no CORS header at all. */
void response_append_options(struct buf *buf, const struct request *request,
                             const struct text_list *origins);

#endif
