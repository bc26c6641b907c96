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

/* A whole answer: status, headers, and `text` (a line end is added) unless the method is HEAD.
 * For 405 with Allow, for 401 with WWW-Authenticate, for 503 to a POST with Retry-After. */
void response_append_text(struct buf *buf, int status, const char *text,
                          const struct request *request, const struct text_list *origins);

/* The same with another type and the body as it is. */
void response_append_body(struct buf *buf, int status, const char *content_type,
                          struct slice body, const struct request *request,
                          const struct text_list *origins);

/* As response_append_text, with how far the feed is behind, in a header: X-Rowcast-Lag-Ms. */
void response_append_health(struct buf *buf, int status, const char *text, uint64_t lag_ms,
                            const struct request *request,
                            const struct text_list *origins);

/* 200 with an HTML page, whose styles and scripts are those that carry the nonce, and which
 * loads nothing but from its own URL (Content Security Policy level 3). */
void response_append_page(struct buf *buf, struct slice page, const char *nonce,
                          const struct request *request, const struct text_list *origins);

/* 204 for OPTIONS: Allow, and, for a CORS preflight (Fetch standard 4.9: Origin and
 * Access-Control-Request-Method) of an allowed origin, method and headers, the leave it asks
 * for. One that asks for more than there is gets no CORS header at all. */
void response_append_options(struct buf *buf, const struct request *request,
                             const struct text_list *origins);

#endif
