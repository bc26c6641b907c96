/* gate.h - the connections of one process to a database: all are closed before one is opened.
 *
 * SQLite keeps one index (the -shm) and one set of locks for all connections of a process to an
 * inode. While one of them is open, a new one gets the same, even when the file at the path is
 * another by then. So there is an order: the reader (feed/feed.c, on the loop) opens first and
 * closes when the files have moved; the writer (publish/writer.c, a thread) has a connection
 * only while the gate is open, and closes it when it is shut. The thread
 * that sees that the files have moved shuts it.
 *
 *     reader: shut -> close -> wait until it is clear -> open -> gate open
 *     writer: enter (only when open) ... sees it shut -> close -> leave
 *
 * All functions may be called from both threads; none blocks. */
#ifndef ROWCAST_STORE_GATE_H
#define ROWCAST_STORE_GATE_H

#include <stdbool.h>

#include "base/error.h"
#include "store/files.h"

struct store_gate;

/* Called from either thread, without a lock held. */
typedef void (*store_gate_wake_fn)(void *arg);

/* A gate that is shut. Returns NULL when memory is out. */
struct store_gate *store_gate_new(void);
void store_gate_free(struct store_gate *gate);

/* --- the reader's side ---- */

/* Called when the gate was shut by the writer, and when it has become clear. */
void store_gate_on_change(struct store_gate *gate, store_gate_wake_fn wake, void *arg);

/* True when it is shut and the writer has no connection: the reader may open its own. */
bool store_gate_is_clear(struct store_gate *gate);

/* The reader has opened its connection: the writer may open one, to the same files (copied). */
void store_gate_open(struct store_gate *gate, const struct store_files *files);

/* Why nothing may be written although the gate is open (the file has two names, another process
 * uses another -shm); NULL: nothing. Copied. */
void store_gate_forbid(struct store_gate *gate, const struct error *why);

/* --- the writer's side ---- */

/* Called when the gate was opened or shut. */
void store_gate_on_turn(struct store_gate *gate, store_gate_wake_fn wake, void *arg);

/* True when the writer may open a connection now; it must call store_gate_leave after closing
 * it. */
bool store_gate_enter(struct store_gate *gate);
void store_gate_leave(struct store_gate *gate);

/* True when these files, of the connection that was opened after store_gate_enter, are the
 * reader's. If not, files were replaced and the reader has not seen it yet: the connection uses
 * the reader's old index with them, and must be closed. */
bool store_gate_fits(struct store_gate *gate, const struct store_files *files);

/* False, and *why, when nothing may be written. */
bool store_gate_may_write(struct store_gate *gate, struct error *why);

/* --- both ---- */

bool store_gate_is_shut(struct store_gate *gate);

/* The files have moved, or are to be reopened (SIGHUP). */
void store_gate_shut(struct store_gate *gate);

#endif
