/* read_marks.h - POST /events/read: a user has read a channel up to a row.
 *
 * serve/dispatch.c hands over the request with its output; nothing here waits. What may be
 * published plays no part: who may read a channel may say that it was read. */
#ifndef ROWCAST_PEOPLE_READ_MARKS_H
#define ROWCAST_PEOPLE_READ_MARKS_H

#include "fastcgi/body.h"
#include "publish/request_job.h"

/* Each mark that moves is a row, so they are bounded. */
#define READ_MARKS_A_MINUTE 120 /* of a user, in each worker, and as many at once */

struct read_marks;

/* `moved` counts marks that were stored, and must outlive it. NULL with *error when memory or
 * descriptors are out. */
struct read_marks *read_marks_new(const struct request_endpoint_config *config,
                                  uint64_t *moved, struct error *error);

/* Answers on the output, at once or when the mark is committed; until then the output is owned
 * here. Takes what *request owns; the caller calls request_fini all the same. */
void read_marks_request(struct read_marks *marks, struct output *output,
                        struct request *request, const struct request_body *body);

/* Requests that wait for their mark to be written. 0 for NULL. */
size_t read_marks_pending(const struct read_marks *marks);

/* After the writer, before the gateway. NULL is fine. */
void read_marks_free(struct read_marks *marks);

#endif
