/* read_marks.h - POST /events/read: a user has read a channel up to a row.
 *
 * serve/dispatch.c hands over the request with its output; nothing here waits. What may be
 * published plays no part: who may read a channel may say that it was read. */
#ifndef ROWCAST_PEOPLE_READ_MARKS_H
#define ROWCAST_PEOPLE_READ_MARKS_H

#include <uv.h>

#include "base/text_list.h"
#include "fastcgi/gateway.h"
#include "http/request.h"
#include "limits/refusal_log.h"
#include "publish/writer.h"

/* Each mark that moves is a row, so they are bounded. */
#define READ_MARKS_A_MINUTE 120 /* of a user, in each worker, and as many at once */

struct read_marks;

struct read_marks_config {
    struct writer *writer;           /* not started yet */
    const struct text_list *origins; /* --cors-origin */
    uint64_t *moved;                 /* counts marks that were stored */
    struct refusal_log *refusal_log;
    const struct log *log;
};

/* NULL with *error. All that config points to but the writer, which is freed before, must outlive
 * it. */
struct read_marks *read_marks_new(uv_loop_t *loop, const struct read_marks_config *config,
                                  struct error *error);

/* Answers on the output, at once or when the mark is committed; until then the output is owned
 * here. Takes what *request owns; the caller calls request_fini all the same. */
void read_marks_request(struct read_marks *marks, struct output *output,
                        struct request *request, const struct request_body *body);

/* Requests that wait for their mark to be written. 0 for NULL. */
size_t read_marks_pending(const struct read_marks *marks);

/* After the writer, before the gateway. NULL is fine. */
void read_marks_free(struct read_marks *marks);

#endif
