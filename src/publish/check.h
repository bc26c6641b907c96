/* check.h - may this POST publish, and what? Pure: no I/O.
 *
 * Judges what publish/endpoint.c then has inserted: who may (the web server's ROWCAST_PUBLISH,
 * a ticket), from which pages (Origin), how long the body is and of which type; then the body's
 * rows, each of which the table's constraints will take. */
#ifndef ROWCAST_PUBLISH_CHECK_H
#define ROWCAST_PUBLISH_CHECK_H

#include "base/error.h"
#include "fastcgi/body.h"
#include "base/text_list.h"
#include "publish/rows.h"
#include "http/request.h"

struct publish_rules {
    const struct text_list *origins; /* --cors-origin */
    int64_t now_ms;                    /* Unix time, for ttl */
};

/* Returns 0 and the rows, or the HTTP status of the refusal (400, 403, 411, 413, 415; 503 when
 * out of memory) with its line in *error. *rows is set up in either case, for
 * publish_rows_fini. The request is a POST that request_parse let through. */
int publish_judge(const struct request *request, const struct publish_rules *rules,
                  const struct request_body *body, struct publish_rows *rows,
                  struct error *error);

/* True when the requester may publish on the channel: what the location (ROWCAST_PUBLISH) and
 * the ticket say of publishing must match it, both where there are both, and there must be at
 * least one of them. What may be read plays no part, nor does the recipient. */
bool publish_allows(const struct request *request, struct slice channel);

/* What a body must be before it is read: of a type that is known, as long as Content-Length says,
 * and no longer than REQUEST_BODY_MAX. Returns 0, or 400, 411, 413 or 415 with *error. */
int publish_check_body(const struct request *request, const struct request_body *body,
                       enum publish_type *type, struct error *error);

/* Cross-site request forgery. A browser adds a user's login or cookie to a form that any page
 * on the web sends here, and asks no preflight for one of these types; so who a request comes
 * from is not yet who wants it (OWASP, Cross-Site Request Forgery Prevention, "verifying origin
 * with standard headers"). Browsers send Origin with every POST (Fetch standard, "append a
 * request `Origin` header") and Sec-Fetch-Site; programs send neither, and are not led astray
 * by pages. Returns 0, or 403 with *error. */
int publish_check_origin(const struct request *request, const struct text_list *origins,
                         struct error *error);

#endif
