/* writer.h - the one thread of the process that writes to the database, with the only connection
 * that may. The loop never waits for the write lock or for the disk.
 *
 * What is written is kinds of work: rows of POST requests (publish/queue.h), old rows to be
 * deleted (serve/retention.h). A kind is a small table of functions. Kinds take turns, the one
 * that has waited longest first, and a turn is one short transaction, so that none holds
 * another up. For all of them alike the writer opens the connection (when the reader has, see
 * store/gate.h), sees before each turn that the files are still those at the path, asks again
 * for a lock, and backs off after a failure, which it reports to the log and the health check.
 *
 * A further kind: a `struct writer_kind` and a call of writer_add. */
#ifndef ROWCAST_PUBLISH_WRITER_H
#define ROWCAST_PUBLISH_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "store/store.h"
#include "store/gate.h"

#define WRITER_KINDS_MAX 8
#define WRITER_NEVER UINT64_MAX

/* All functions are called on the writer's thread, with the arg of writer_add. */
struct writer_kind {
    const char *failing; /* for the log: "cannot ..., and it is tried again" */
    const char *working; /* for the log, afterwards */
    bool is_vital;       /* while it fails, the program is not well */
    bool is_lazy;        /* nothing is tried for it before it is due */
    enum store_durability durability;
    uint64_t retry_max_ms; /* after failures it waits twice as long each time, up to this */

    /* When it wants its next turn, by uv_hrtime: now or before: at once; WRITER_NEVER: there is
     * nothing to do (writer_wake announces work). Cheap; calls nothing of the writer's. */
    uint64_t (*due_ns)(void *arg);

    /* One short piece of work, at most one transaction, which it begins and ends itself.
     * STORE_BUSY: locked, again in some 100 µs. STORE_FAILED: the connection is closed, and it
     * is tried again later. What concerns only this piece (a row that the table refuses) is
     * STORE_OK. */
    enum store_result (*work)(void *arg, struct store *store, struct error *error);

    /* It is its turn, but there is no connection, or nothing may be written; result is
     * STORE_BUSY or STORE_FAILED. NULL: it just waits. */
    void (*go_without)(void *arg, enum store_result result, const struct error *error);

    /* The thread ends: the last moment to write, without waiting for anything. store is NULL when
     * there is none; result and error say why. NULL: nothing to do. */
    void (*end)(void *arg, struct store *store, enum store_result result,
                const struct error *error);
};

struct writer;

struct writer_config {
    const char *path;
    const char *table;
    struct store_gate *gate; /* the reader's: feed_gate() */
    const struct log *log;
};

/* No thread and no connection yet. All that config points to must outlive it. NULL: out of
 * memory. */
struct writer *writer_new(const struct writer_config *config);

/* Before writer_start. */
void writer_add(struct writer *writer, const struct writer_kind *kind, void *arg);

/* Opens the table for writing, to fail now rather than at the first request, then starts the
 * thread. Returns 0, or -1 with *error where there is no thread to be had, or a vital kind of work
 * cannot be done, as the table may not be written or is not rowcast's own. Else that is logged, and
 * tried again; a lock is no reason to fail. */
int writer_start(struct writer *writer, struct error *error);

/* A kind has something to do. From any thread. */
void writer_wake(struct writer *writer);

enum writer_health { WRITER_WELL, WRITER_LIMPS, WRITER_FAILS };

/* How it is: WRITER_FAILS when a vital kind fails, WRITER_LIMPS when another one does, with *error.
 * NULL is well. From any thread. */
enum writer_health writer_health(struct writer *writer, struct error *error);

/* Ends the thread: waits for the transaction at hand, and calls each kind's end. The kinds' args
 * must still be there. NULL is harmless. */
void writer_free(struct writer *writer);

#endif
