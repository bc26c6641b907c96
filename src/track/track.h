/* track.h - live tables: an ordinary table of the application whose changes become
 * notifications, and whose rows can be read as the notifications have them.
 *
 * A definition (a row of rowcast_track) says which table, which columns, who sees a row. From
 * it one generator makes the triggers and the query of the state, so that a row has the same
 * bytes in both. `rowcast track` and `untrack` write definitions, doctor and serve compare them
 * with the table as it is, `state=` reads the rows. */
#ifndef ROWCAST_TRACK_TRACK_H
#define ROWCAST_TRACK_TRACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"
#include "base/text_list.h"
#include "store/store.h"

/* Columns of a key at the most, and of a row (SQLite's functions take 127 arguments). */
#define TRACK_KEY_MAX 8
#define TRACK_COLUMNS_MAX 60

/* A text or BLOB with more bytes is carried as its length alone. */
#define TRACK_VALUE_MAX 65536

/* A row with a larger text or BLOB in its key is seen by no reader. */
#define TRACK_KEY_BYTES_MAX 4096

struct track;

/* --- a definition, and the state of its table ------------------------------------------------ */

/* The definition of the table of that name (in any case of letters) for the store's table of
 * notifications, joined with the table as it is now. *track: the caller's, NULL when nothing of
 * that name is tracked. STORE_REFUSED with *error when it does not fit the table any more (a
 * column is gone), or the row that says so has been changed by hand. */
enum store_result track_load(struct store *store, struct slice name, struct track **track,
                             struct error *error);
void track_free(struct track *track);

/* The table's name as the schema spells it, and the columns of its key; the track's own. */
const char *track_name(const struct track *track);
size_t track_key_count(const struct track *track);
const char *track_key_column(const struct track *track, size_t at);

/* The channel of all its rows; NULL when each row names its own. */
const char *track_channel(const struct track *track);

/* Whether rows have recipients: a column says whose they are. */
bool track_has_recipients(const struct track *track);

/* A row of the state; the bytes are valid until the callback returns. */
struct track_row {
    struct slice channel;
    struct slice recipient; /* NULL: everyone who may read the channel */
    struct slice key;       /* JSON, as in the event's "key" */
    struct slice row;       /* JSON, as in the event's "row"; NULL: no reader may see it */
};

/* STORE_STOP: "that row was taken, no more". */
typedef enum store_step (*track_row_fn)(void *arg, const struct track_row *row);

/* Where a reader is: behind a key. Zero-initialise: before the first row. */
struct track_cursor {
    void *key[TRACK_KEY_MAX]; /* SQLite's values, the cursor's own */
    size_t count;             /* 0: before the first row */
};
void track_cursor_fini(struct track_cursor *cursor);

/* Makes *to, which is zero, a copy. False: out of memory, *to is empty. */
bool track_cursor_copy(struct track_cursor *to, const struct track_cursor *from);

struct track_reading {
    const struct track *track;
    struct track_cursor *cursor; /* moved behind the last row that was given */
    size_t max_rows;
    track_row_fn fn;
    void *arg;
    size_t count; /* set: rows that were given */
    bool more;    /* set: there may be rows behind the last one */
};

/* The next rows behind the cursor, at most max_rows, in the order of the key's index. Rows that
 * no reader may see (--where, a bad channel) are given too, without their content, so that fn
 * can stop a long run of them; who may see the others is the caller's to judge. Call it within
 * store_begin_read: the rows are of that snapshot. May be called with another snapshot the next
 * time. STORE_REFUSED: the rows cannot be read as the definition says, or not in short steps. */
enum store_result track_read_rows(struct store *store, struct track_reading *reading,
                                  struct error *error);

/* A SELECT of track_read_rows: the key's columns in the order of its index, channel, recipient,
 * key, row; parameters ?1 the limit, ?2.. the key's values: the first `equal` are to be the
 * same, the one after these is to be passed. Give it to track_free_text. NULL: out of memory. */
#define TRACK_FROM_START TRACK_KEY_MAX
char *track_state_text(const struct track *track, size_t equal);
void track_free_text(char *text);

/* --- making and taking away ------------------------------------------------------------------- */

/* What `rowcast track` was asked for. NULL (or count 0): as the definition has it, else the
 * default. */
struct track_request {
    const char *table;
    struct text_list key;     /* the primary key */
    struct text_list columns; /* all but BLOBs */
    const char *channel;      /* the table's name */
    const char *channel_column;
    const char *recipient;
    const char *where;
};

enum track_outcome { TRACK_MADE, TRACK_RENEWED, TRACK_WAS_THERE };

/* Tracks the table, or brings what is there up to date, in one transaction that begins and ends
 * here; the store is open with STORE_WRITE. An event makes readers that have a copy
* load the state again. `said` gets one line about what is tracked now. */
enum store_result track_apply(struct store *store, const struct track_request *request,
                              enum track_outcome *outcome, struct buf *said,
                              struct error *error);

/* The statements of track_apply as text that one may run in a migration of one's own; changes
 * nothing. */
enum store_result track_print(struct store *store, const struct track_request *request,
                              struct buf *sql, struct error *error);

/* Takes definition and triggers away; *found is false when there were none. The table itself
 * need not be there any more. In one transaction of its own. */
enum store_result track_remove(struct store *store, const char *table, bool *found,
                               struct error *error);

/* --- comparing -------------------------------------------------------------------------------- */

struct track_finding {
    const char *name;
    bool fits;
    const char *text; /* what is tracked, or what does not fit and what to do */
};
typedef void (*track_finding_fn)(void *arg, const struct track_finding *finding);

/* Calls fn for each definition, in the order of the names. A database without any gives none.
 * In one snapshot, which begins and ends here. */
enum store_result track_compare(struct store *store, track_finding_fn fn, void *arg,
                                struct error *error);

#endif
