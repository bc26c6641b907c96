/* cgi.h - plain CGI: one request from the environment, one output on standard output. */
#ifndef ROWCAST_FASTCGI_CGI_H
#define ROWCAST_FASTCGI_CGI_H

#include <uv.h>

#include "base/error.h"
#include "fastcgi/gateway.h"

struct cgi;

/* Makes the output. stall_ms: an answer of which nothing is taken for so long is given up; 0:
 * never. Returns NULL with *error. */
struct cgi *cgi_new(uv_loop_t *loop, uint64_t stall_ms, struct error *error);
struct output *cgi_output(struct cgi *cgi);

/* Reads the body of a POST from standard input: CONTENT_LENGTH bytes (RFC 3875 section 4.2) and
 * no more, and what has come by then when the end comes early or timeout_ms is over. A body
 * longer than REQUEST_BODY_MAX is passed over, for as long. Waits; the process has nothing
 * else to do. The caller frees body->bytes. */
void cgi_read_body(struct request_body *body, uint64_t timeout_ms);

/* True once the answer is out, or the web server is gone. */
bool cgi_is_done(const struct cgi *cgi);

void cgi_free(struct cgi *cgi);

#endif
