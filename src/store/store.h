/* store.h - the table: opening, reading rows after a cursor, writing, pruning.
 *
 * The door to SQLite: nothing but store and track includes sqlite3.h. Statements are prepared
 * once. No call waits for a lock longer than busy_ms; a locked database is an ordinary outcome
 * (STORE_BUSY) after which the caller tries again later. */
#ifndef ROWCAST_STORE_STORE_H
#define ROWCAST_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "event/filter.h"
#include "event/row.h"
#include "store/strangers.h"

#define STORE_SCHEMA_VERSION 3
#define STORE_DEFAULT_TABLE "notification"

enum store_result {
    STORE_OK,
    STORE_BUSY,   /* locked by another process: try again */
    STORE_FAILED, /* anything else (I/O, corrupt, full, constraint): *error says what to do */
    STORE_REFUSED /* by track/ alone: all is well, but the table cannot be tracked like that */
};

enum store_mode {
    STORE_READ,
    STORE_WRITE,
    STORE_INSPECT /* as STORE_READ, but makes no file and changes none: for doctor */
};

struct store_config {
    const char *path;
    const char *table; /* NULL: STORE_DEFAULT_TABLE */
    enum store_mode mode;
    int busy_ms; /* 0 for the loop, which must never wait */
    /* data above it is not given: row.too_large; 0: no limit. Above twice as much, and 1 MiB, it is
     * not read into memory either. */
    size_t max_event_bytes;
    /* For a writer that stays open: it leaves the WAL alone when it closes, as readers do. By
     * then another file may stand at the path, whose WAL it would remove. */
    bool keep_wal;
    /* STORE_READ of a file that something else replicates: nothing is written, not even beside it
     * where that can be avoided, and when the file was changed past SQLite it is reopened. */
    bool is_replica;
};

/* What the table remembers of its whole history, all in ids. */
struct store_marks {
    int64_t base;      /* where the sequence started; 0 for a foreign table */
    int64_t low_water; /* the highest id ever deleted, else base; foreign: lowest id - 1 */
    int64_t lowest;    /* the lowest id in the table; tail + 1 when the table is empty */
    int64_t tail; /* the highest id ever used (sequence, base, low_water, highest row) */
    int64_t sequence; /* sqlite_sequence's, which gives the next id; 0 where it has none */
};

struct store;

/* Opens the database, checks that the table is there and of a version that this program knows.
 * Returns NULL with *error saying what to do: run `rowcast init`, grant which right on which of
 * file, -wal, -shm and folder, upgrade. Never creates a file. `STORE_WRITE` on a foreign table
 * or view is refused, as it may not take our columns; so is it while another process uses
 * another -shm (store_has_strangers), of which busy_ms 0 makes a STORE_BUSY. *busy (may be
 * NULL) is set when the cause is a lock, so that trying again makes sense. */
struct store *store_open(const struct store_config *config, bool *busy,
                         struct error *error);
void store_close(struct store *store);

/* True when another connection has committed since the last call, or on the first call. In WAL mode
 * it looks at shared memory and costs some nanoseconds; else it asks PRAGMA data_version
 * (sqlite.org/pragma.html#pragma_data_version), which takes a lock. It reads no row: store_read_log
 * does. */
enum store_result store_changed(struct store *store, bool *changed, struct error *error);

/* NULL, or what the table has lost by a change of its schema (triggers, indexes, columns, defaults,
 * AUTOINCREMENT, the place of its sequence) and what to do. It can be read, but readers may miss
 * rows. As found by store_open and store_read_log; valid until the next call. */
const char *store_fault(const struct store *store);

/* What the table has of a channel. */
struct store_channel {
    struct slice name; /* valid during the call */
    int64_t rows;
    int64_t last_id;
};
typedef void (*store_channel_fn)(void *arg, const struct store_channel *channel);

/* Every channel that has rows, in the order of its bytes. Looks at each row: for a person who
 * asks. */
enum store_result store_read_channels(struct store *store, store_channel_fn take, void *arg,
                                      struct error *error);

/* SQLite's, as it runs. */
const char *store_library_version(void);

/* True when the table has a collapse_key that no index covers: its rows are not collapsed then, as
 * each would cost a look at all rows after it. */
bool store_ignores_keys(const struct store *store);

/* One read transaction over several of the calls below, so that they see the same
 * snapshot. Keep it short: a reader holds checkpoints back. end is always safe to call. */
enum store_result store_begin_read(struct store *store, struct error *error);
void store_end_read(struct store *store);

/* The same, and when the schema has changed it looks at the table again first (a few ms). */
enum store_result store_begin_snapshot(struct store *store, struct error *error);

/* Another number when the schema has changed, as seen by store_open and store_begin_snapshot. */
int64_t store_schema(const struct store *store);

enum store_result store_read_marks(struct store *store, struct store_marks *marks,
                                   struct error *error);

/* Reads the marks from the file, past SQLite's cache: whether it can be read at all. */
enum store_result store_probe(struct store *store, struct error *error);

enum store_step { STORE_MORE, STORE_STOP };

/* Called for each row; the row's bytes are valid until it returns. */
typedef enum store_step (*store_row_fn)(void *arg, const struct row *row);

struct store_range {
    store_row_fn row; /* gets each row, with arg */
    void *arg;
    int64_t after;   /* rows with after < id */
    int64_t up_to;   /* and id <= up_to */
    size_t max_rows; /* looked at, at the most */
    uint64_t
        until_ns; /* CLOCK_MONOTONIC: soon after it no more are looked at; 0: no bound */
    /* NULL, or only rows for this filter are given. Of the others no more than id, channel and
     * recipient is read, and nothing of them where the filter is exact, through the index. */
    const struct filter *narrow;
    /* NULL, or asked instead of the filter where that is not exact, with arg; of the row only
     * id, channel and recipient are set. It must let through what the filter does. */
    bool (*wants)(void *arg, const struct row *row);
    bool
        collapse; /* leave out rows that a newer row replaces, where an index finds that row */
    int64_t newest; /* the newer row may have an id up to this; at least up_to */
};

/* A row that was given, by what distinguishes it from another row with its id. */
struct store_seen {
    int64_t id; /* 0: none */
    int64_t created_at;
};

struct store_progress {
    int64_t last; /* every row up to this id has been seen (or is not for the filter) */
    struct store_seen given; /* the last row that was given */
    bool complete;           /* nothing is left up to range.up_to; last == up_to then */
    size_t looked;           /* rows looked at, whether given or not */
};

/* Rows in id order. On STORE_BUSY or STORE_FAILED *progress says how far it came: the rows
 * given so far count. STORE_STOP from range->row means "that row was taken, no more". */
enum store_result store_read_range(struct store *store, const struct store_range *range,
                                   struct store_progress *progress, struct error *error);

/* As store_read_range, but downwards from up_to; rows come without data (data.p NULL,
 * too_large false). progress->last: every row from this id up has been seen. Rows whose
 * expires_at is past are passed too. For last=N. */
enum store_result store_read_back(struct store *store, const struct store_range *range,
                                  struct store_progress *progress, struct error *error);

struct store_time {
    int64_t created_at_ms; /* the oldest that is wanted, Unix milliseconds */
    int64_t now_ms;        /* a row that is dated later is as old as the row after it */
};

/* *cursor: the id before the first row that is not older than created_at_ms, the tail if all
 * are. By bisection over ids, O(log n), as created_at grows with id except for clock steps and
 * rows that were given another time; so the 1,000 rows before the place are looked at too. A
 * row whose time is not known (0, or no time at all) or lies in the future is as old as the row
 * after it. A table without created_at: tail. */
enum store_result store_find_time(struct store *store, const struct store_time *time,
                                  int64_t *cursor, struct error *error);

/* True when the file at the path, or the -wal or -shm beside it, is no longer the one that is open,
 * or is one that was changed past SQLite (is_replica).
 * Cheap; goes by stat alone. Then every connection of the process must be closed before one is
 * opened: SQLite keeps one index for all that a process has open at an inode, and hands it to a new
 * connection too (store/gate.h does so for serve). */
bool store_has_moved(struct store *store);

/* The files that are open; valid until store_close. */
const struct store_files *store_opened_files(const struct store *store);

/* True when another process has the database open and another -shm than we; *error says which and
 * what to do. Reads /proc/locks. See store_files_have_strangers. */
bool store_has_strangers(const struct store *store, struct store_device *device,
                         struct error *error);

/* Whether a WAL that has become shorter since it was last read or written can still be read: else
 * a program has cut it off, and what is in the cache is no longer in the database. Not within a
 * transaction. */
enum store_result store_check_wal(struct store *store, struct error *error);

/* STORE_OK when the files that are open are those at the path and have no other name.
 * STORE_BUSY when they have moved: after they are reopened it is worth another try. For
 * writers: store_begin_write, store_commit and an insert outside of a transaction ask it. */
enum store_result store_check_files(struct store *store, struct error *error);

/* Looks for the right that the effective user lacks on folder, file, -wal or -shm to open the
 * database in that mode, and names it. True when it found one and set *error. Opens none of
 * them. store_open has done this already where it failed; it is here for doctor. */
bool store_diagnose_rights(const char *path, enum store_mode mode, struct error *error);

/* --- writing: only with STORE_WRITE ---------------------------------------------------- */

/* BEGIN IMMEDIATE; waits for the writer's lock up to busy_ms. */
enum store_result store_begin_write(struct store *store, struct error *error);
enum store_result store_commit(struct store *store, struct error *error);
void store_rollback(struct store *store); /* safe when there is no transaction */

/* Inserts channel, recipient, event, data, collapse_key, expires_at (0: NULL) of the row; id
 * is given by the table, created_at by its default. Channel NULL: the default. *id: the new
 * one. Outside of a transaction it commits by itself. */
enum store_result store_insert(struct store *store, const struct row *row, int64_t *id,
                               struct error *error);

/* Why a constraint or a trigger of the table refused the last insert; NULL when that failed for
 * another reason. Valid until the next call. */
const char *store_refusal(const struct store *store);

struct store_prune {
    int64_t older_than_ms; /* delete rows with created_at below it; 0: not by age */
    int64_t now_ms;    /* by age: a row that is dated later is as old as the one after it */
    int64_t keep_rows; /* keep the newest so many; 0: not by count */
    int64_t expired_before_ms; /* delete rows with 0 < expires_at below it; 0: not */
    /* The same, but from the lowest id up to the first row that has not expired: so the low-water
     * mark does not rise above rows that remain; 0: not. */
    int64_t expired_first_ms;
    int64_t
        slack_rows; /* by count: bear so many rows too many before they are counted again */
    int64_t up_to; /* only rows up to this id go; 0: no limit (not for expired_before_ms) */
    int max_rows;  /* in this one transaction */
};

/* Deletes one batch, oldest first, in one short transaction. *deleted: how many; 0: done. By
 * age it goes up from the lowest id and stops at the first row that is young enough.
 * STORE_FAILED too while there is a store_fault. */
enum store_result store_prune(struct store *store, const struct store_prune *prune,
                              int *deleted, struct error *error);

/* For how long the last batch that deleted something held the write lock, in microseconds. */
int64_t store_prune_locked_us(const struct store *store);

/* --- upkeep, beside an application's writer ------------------------------------------ */

enum store_durability {
    STORE_DURABLE, /* each commit is on the disk when store_commit returns, as SQLite is set */
    STORE_LAZY /* not synced one by one where that is safe: in WAL mode a power cut may take the
                      last commits back, and with rows that were pruned that is no harm */
};

/* For the transactions that follow. Not within one. */
enum store_result store_set_durability(struct store *store,
                                       enum store_durability durability,
                                       struct error *error);

/* Gives at most max_pages of the free pages back to the file system, where the database is one
 * with auto_vacuum=INCREMENTAL, else none. A reserve is kept, since new rows want pages again.
 * *freed: how many; 0: done. */
enum store_result store_vacuum_step(struct store *store, int max_pages, int *freed,
                                    struct error *error);

/* Size of the WAL file; 0: none. */
int64_t store_wal_bytes(struct store *store);

/* Copies the WAL into the database while writers write, then, if no reader prevents it at that
 * moment, empties it. STORE_BUSY: a reader did; try again later. */
enum store_result store_checkpoint(struct store *store, struct error *error);

/* --- the schema -------------------------------------------------------------------------- */

enum store_journal { STORE_JOURNAL_WAL, STORE_JOURNAL_KEEP };

struct store_init_result {
    bool created;      /* the table is new */
    int migrated_from; /* the older version it had, 0: none */
    bool restored;     /* what store_fault names was missing and is made again */
    int64_t moved_to; /* ids had gone back below the marks: the new base, 0: they had not */
    bool switched_to_wal; /* the journal mode was changed */
};

/* Creates, migrates or repairs the table (config->table) in a new file or an existing database,
 * all in one transaction; touches nothing else. A foreign table or view of that name is
 * refused. A repair makes the objects that store_fault names. Where deletions may not have
 * been noted the low-water mark rises to the highest id that is missing; where ids had gone
 * back the base moves as by store_rebase: readers get a gap. Returns 0, or -1 with
 * *error. */
int store_init(const struct store_config *config, enum store_journal journal,
               struct store_init_result *result, struct error *error);

/* Whether a WAL or journal lies beside the file that SQLite would play into it while no other
 * program has the database open: after a backup was copied there, it may be of the database
 * before. Returns 0, or -1 with *error, which says what to remove. Not while this process has
 * the database open, whose locks it would drop. */
int store_check_leftovers(const char *path, struct error *error);

/* After a backup was restored: moves sequence and base past the Unix time in milliseconds, the
 * sequence, and `above` (0: not known), so that no id handed out since the backup is given
 * again. *base: the new base. Returns 0, or -1 with *error. */
int store_rebase(const struct store_config *config, int64_t above, int64_t *base,
                 struct error *error);

#endif
