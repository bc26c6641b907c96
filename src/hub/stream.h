/* stream.h - one stream's state, its writes and its end. The hub's other files decide when.
 *
 * Every stream is in exactly one state (hub/state.h), and stream_set_state is the one place that
 * moves it. A stream is of one of two kinds: events for as long as it is open, or a poll, which
 * is one document; the kind knows what its client gets. */
#ifndef ROWCAST_HUB_STREAM_H
#define ROWCAST_HUB_STREAM_H

#include "hub/state.h"

struct stream_kind {
    bool has_open_line; /* in the log; what comes again and again has a close line only */
    /* The start is known: what goes out before the first row. headers: those of the answer. */
    void (*begin)(struct stream *stream, const struct resume_point *start,
                  struct slice headers);
    /* Rows are missing for good; the cursor is behind them already. False: the stream cannot go
     * on in this turn. */
    bool (*take_gap)(struct stream *stream, const struct gap *gap);
    /* hub->page has what comes next, behind the mark `from` (NULL: from its start). */
    void (*take_page)(struct stream *stream, const struct mark *from);
    /* Rows of a table that the stream begins with. */
    void (*take_part)(struct stream *stream, const struct state_part *part);
    /* No write for --heartbeat. */
    void (*beat)(struct stream *stream);
    /* An orderly end, with a reason in words for the client where the format has a place for it
     * (NULL: none). The stream is CLOSED when it returns, or will be once its reader took the
     * answer. */
    void (*end)(struct stream *stream, enum close_reason why, const char *words);
};

/* Opening and gap, rows, heartbeats, goodbye: hub/event_stream.c. One document: hub/poll.c. */
extern const struct stream_kind event_stream_kind;
extern const struct stream_kind poll_kind;

/* Moves the stream from the lists of its state to those of the new one. */
void stream_set_state(struct stream *stream, enum stream_state state);

/* The extra part, made on first use; NULL when out of memory. */
struct stream_extra *stream_need_extra(struct stream *stream);

/* The start is known. */
void stream_begin(struct stream *stream, const struct resume_point *start,
                  struct slice headers);

/* Writes the packed records behind the mark `from` (NULL: all) and books what went out. When the
 * socket is full the stream becomes BLOCKED; the cursor is then that of the last mark before the
 * end of the record that was begun: the output keeps the rest of this record, what follows it
 * is packed again later. Where that record ends inside an event, extra->cut says so. When the
 * peer is gone the stream is closed. True when all of it is out. */
bool stream_write(struct stream *stream, const struct records *records,
                  const struct mark *from);

/* Writes words of our own (the opening, a gap, a heartbeat), which unlike rows cannot be read
 * again: what the socket does not take is kept and goes out first. True when all is out. */
bool stream_write_text(struct stream *stream, struct slice text);

/* What all readers of this worker who take nothing may make it keep, in bytes: of documents, and
 * of parts of tables' states. Events are not kept. */
#define STREAMS_HELD_MAX ((size_t)64 * 1024 * 1024)

/* The stream, which has its extra part, keeps so many bytes for its reader now. False: together
 * with what others keep it is too much. */
bool stream_hold(struct stream *stream, size_t bytes);

/* Cuts off readers until what is kept is not too much: first the one that has taken nothing for the
 * longest time, so that those who read get theirs. */
void streams_make_room(struct hub *hub);

/* Counts bytes that were given to the output. */
void stream_book_bytes(struct stream *stream, size_t bytes);

/* What a connection calls of a stream. */
extern const struct output_ops stream_output_ops;

/* The response has its end: the output goes back to its connection. */
void stream_finish(struct stream *stream, enum close_reason why);

/* Cuts the connection: the client sees it broken and comes back. */
void stream_drop(struct stream *stream, enum close_reason why);

/* The output is not ours any more. */
void stream_lose(struct stream *stream, enum close_reason why);

/* Frees a closed stream. */
void stream_free(struct stream *stream);

#endif
