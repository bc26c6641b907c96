/* here.h - who is here, of this process: from streams that open and end to rows of the table of
 * presence. Pure: no I/O, the time comes in.
 *
 * A reader is a user with all her streams, or one stream without a name. What has changed of a
 * reader since it was last taken is one change, however often it changed. */
#ifndef ROWCAST_PEOPLE_HERE_H
#define ROWCAST_PEOPLE_HERE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "event/filter.h"

/* Names in a reader's list of channels; further ones are left out. */
#define HERE_CHANNELS_MAX 256

struct here;
struct here_reader;

struct here_stream {
    const char *user;                /* NULL: it has no name */
    const char *address;             /* NULL: not known */
    const struct patterns *channels; /* none: all, which is "*" */
};

/* What the table is to say of a reader. One allocation, the taker's. */
struct here_change {
    struct here_change *next; /* the taker's */
    const char *key;          /* "user ann", "stream 17" */
    const char *user;         /* NULL: it has no name */
    const char *channels;     /* a JSON array, sorted */
    const char *address; /* as the limits count it; of the newest stream; NULL: not known */
    int64_t since_ms;    /* when the first of the streams began, Unix time */
    size_t streams;      /* 0: gone */
    bool is_new;         /* the table does not have it */
    char text[];
};

/* NULL with *error. */
struct here *here_new(struct error *error);
void here_free(struct here *here);

/* Counts a stream. NULL when out of memory: then it is not counted. */
struct here_reader *here_open(struct here *here, const struct here_stream *stream,
                              int64_t now_ms);
void here_close(struct here *here, struct here_reader *reader,
                const struct here_stream *stream);

/* The next change, for the caller to free; NULL: there is none, or no memory (*failed). */
struct here_change *here_take(struct here *here, bool *failed);
bool here_has_changes(const struct here *here);

/* The table has lost what it had: every reader is a change again. */
void here_tell_all(struct here *here);

/* Readers that are here, and those of them with a name. */
size_t here_count(const struct here *here);
size_t here_users(const struct here *here);

#endif
