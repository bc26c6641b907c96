/* internal.h - what the store's own files share; no other file includes it.
 *
 * store/store.c opens and closes, store/table.c says what the table is, store/files.c says whether
 * the files are still the same, store/wal_index.c whether something was committed, store/sql.c has
 * the text of every statement that is prepared, store/statement.c prepares and runs them,
 * store/transaction.c begins and ends transactions, store/rows.c reads rows, store/values.c takes
 * them from SQLite's values, store/marks.c reads the marks, store/time.c finds a time,
 * store/write.c writes, store/upkeep.c tidies up, store/model.c knows what the schema should be,
 * store/schema.c makes and migrates it, store/base.c moves its ids on, and store/error.c turns
 * SQLite's codes into one line that says what to do. */
#ifndef ROWCAST_STORE_INTERNAL_H
#define ROWCAST_STORE_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "store/connection.h"
#include "store/store.h"
#include "store/files.h"

/* Pairs of channel and recipient in one statement on the index; with more, a scan over the
 * ids costs no more than the merging. */
#define STORE_ARMS_MAX 16

/* The table's columns, in the order in which every read statement gives them. */
enum store_column {
    COLUMN_ID,
    COLUMN_CHANNEL,
    COLUMN_RECIPIENT,
    COLUMN_EVENT,
    COLUMN_COLLAPSE_KEY,
    COLUMN_CREATED_AT,
    COLUMN_EXPIRES_AT,
    COLUMN_DATA,
    STORE_COLUMNS,
    COLUMN_SUPERSEDED = STORE_COLUMNS /* computed: a newer row replaces this one */
};

extern const char *const store_column_names[STORE_COLUMNS];

/* Statements that are prepared once, when they are first needed. */
enum store_statement {
    STATEMENT_DATA_VERSION,
    STATEMENT_SCHEMA_COOKIE,
    STATEMENT_JOURNAL_MODE,
    STATEMENT_BEGIN_READ,
    STATEMENT_BEGIN_WRITE,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_MARKS,
    STATEMENT_FRESH_UP_TO, /* lowest of the last rows up to ?1 dated from ?2 to ?3 */
    STATEMENT_ID_ABOVE,    /* lowest id above ?1 */
    STATEMENT_FIRST_ABOVE, /* id, created_at of the first row above ?1 created up to ?2 */
    STATEMENT_INSERT,
    STATEMENT_OLDEST, /* id, created_at, expires_at of all rows from the lowest id up */
    STATEMENT_COUNT,
    STATEMENT_NTH, /* id of the row with ?1 rows before it */
    STATEMENT_ANY_EXPIRED,
    STATEMENT_DELETE_UP_TO,
    STATEMENT_DELETE_EXPIRED,
    STATEMENT_INSERT_FOLLOWED, /* with the id and the times given */
    STATEMENT_DELETE_BETWEEN,  /* ids ?1 .. ?2 */
    STORE_STATEMENTS
};

/* What a read statement gives. Only the first reads data. */
enum store_reading { STORE_FORWARD, STORE_FORWARD_BARE, STORE_BACKWARD, STORE_READINGS };

/* How a read statement finds the rows: by their ids; by their ids and the filter of the walk (an
 * SQL function); or by pairs of channel and recipient on the index, with STORE_BY_PAIRS + 1 .. +
 * STORE_ARMS_MAX for the number of pairs. */
enum {
    STORE_BY_ID,
    STORE_BY_FILTER,
    STORE_BY_PAIRS = STORE_BY_FILTER,
    STORE_WAYS = STORE_BY_PAIRS + STORE_ARMS_MAX + 1
};

/* The parameters of a read statement; those of the arms follow, channel and recipient of
 * each. */
enum { READ_AFTER = 1, READ_UP_TO, READ_LIMIT, READ_COLLAPSE, READ_NEWEST, READ_FIRST_ARM };

/* The header of the WAL index. */
#define STORE_WAL_INDEX_WORDS 12

struct store_walk;

struct store {
    sqlite3 *db;
    char *path;
    char *table; /* as the schema spells it */
    enum store_mode mode;
    size_t max_event_bytes;
    bool foreign;      /* not made by rowcast: no marks, no index of ours */
    bool has_sequence; /* sqlite_sequence has, or may get, a row for it */
    bool has[STORE_COLUMNS];
    bool can_collapse; /* an index finds a row's newer replacement */
    bool is_replica;   /* as in store_config */
    bool is_alone;     /* a WAL database without -wal and -shm, read as it lies there */
    struct timespec changed_at; /* where is_alone: the file's times when it was opened */
    int64_t bytes;
    struct store_files files; /* what it has open */
    int synchronous;          /* SQLite's own setting of it; -1: not asked yet */
    enum store_durability durability;
    int64_t data_version;               /* at the last store_changed; -1: not asked yet */
    const volatile uint32_t *wal_index; /* in WAL mode its header; NULL: another mode */
    uint32_t
        wal_index_seen[STORE_WAL_INDEX_WORDS]; /* at the last store_changed; 0: never */
    int64_t schema_cookie; /* PRAGMA schema_version when the table was looked at */
    bool must_look;     /* at the table, although the cookie is the same: it has a fault */
    struct error fault; /* see store_fault; text empty: none */
    int64_t prune_cut;  /* rows up to it are known to be too many; see store/write.c */
    int64_t prune_keep; /* ... for this keep_rows */
    int64_t prune_tail; /* the tail when the rows were last counted; 0: never */
    int64_t prune_room; /* how many rows fewer than prune_keep there were then */
    int64_t prune_locked_us; /* how long the last batch held the write lock */
    char refusal[192];       /* a constraint's or trigger's own words; see store_refusal */
    sqlite3_stmt *statements[STORE_STATEMENTS];
    sqlite3_stmt *reads[STORE_READINGS][STORE_WAYS];
    struct store_walk
        *walk; /* the walk over rows that is on its way, for the SQL function */
};

/* --- store/store.c --- */

enum store_create { STORE_CREATE_NEVER, STORE_CREATE_FILE };

/* Says what is wrong with the database's path, before SQLite opens it. STORE_CREATE_FILE: there may
 * be no file yet. Notes what lies there in store->files. (store/path.c) */
enum store_result store_check_path(struct store *store, enum store_create create,
                                   struct error *error);

/* Opens the file alone, without a look at its tables; for store_open and the schema. The
 * handle must be given to store_close whatever the result. */
enum store_result store_open_file(struct store *store, const struct store_config *config,
                                  enum store_create create, struct error *error);

/* False when the schema has changed since the table was last looked at. */
enum store_result store_schema_is_known(struct store *store, bool *is_known,
                                        struct error *error);

/* Within a read transaction: looks at the table again where the schema has changed since, or where
 * store_changed has found that something was committed to a table with a fault. The transaction
 * may be another one then. */
enum store_result store_follow_schema(struct store *store, struct error *error);

/* --- store/table.c --- */

enum store_table {
    STORE_TABLE_OURS,
    STORE_TABLE_FOREIGN,
    STORE_TABLE_MISSING,
    STORE_TABLE_STALE /* it was dropped, rowcast_meta still has its row */
};

/* Whose the table is, and *version, its schema's, where it is ours. Sets
 * store->table and has_sequence. */
enum store_result store_identify(struct store *store, const char *table,
                                 enum store_table *kind, int *version, struct error *error);

/* The same and what it has: its columns, its index of keys, and store->fault. Within a read
 * transaction. */
enum store_result store_learn_table(struct store *store, const char *table,
                                    struct error *error);

/* --- store/wal_index.c --- */

/* Sets store->wal_index. The database is in WAL mode, and something of it was read. */
void store_wal_index_find(struct store *store);

/* Whether the header is another one than at the last call. */
bool store_wal_index_changed(struct store *store);

/* leftovers.c: whether a rollback journal lies there that is not committed. It may be that of a
 * writer who is at work. `path`: the file itself, behind links. */
bool store_has_hot_journal(const char *path);

/* --- store/upkeep.c --- */

/* As the connection has it since its last read. */
enum store_result store_ask_is_wal(struct store *store, bool *is_wal, struct error *error);

/* --- store/rows.c --- */

/* Makes what the read statements need of the connection: the SQL function of the filter, the bound
 * on what is read into memory. Once, before the first of them. */
enum store_result store_prepare_reading(struct store *store, struct error *error);

/* --- store/values.c --- */

/* A time; what is not a number (a foreign table may hold "2025-11-22") is not known: 0. */
int64_t store_take_time(sqlite3_value *value);

/* The value as bytes: a blob as it is, all else as UTF-8 text, whatever the database's encoding.
 * p is NULL for NULL alone. False: out of memory. */
bool store_take_bytes(sqlite3_value *value, struct slice *slice);

/* The row that the read statement is at. Data that is longer than the store's max_event_bytes is
 * left out, and too_large says so. False: out of memory. */
bool store_take_row(const struct store *store, sqlite3_stmt *statement, struct row *row);

/* --- store/marks.c --- */

/* True when the next id that the table gives is above all that readers may have passed. */
bool store_ids_are_new(const struct store_marks *marks);

/* --- store/transaction.c --- */

/* --- store/model.c --- */

/* The part of sql/schema.sql that makes the table; without the transaction around it. */
struct slice store_schema_text(void);

/* Runs statements in the manner of sql/schema.sql, with `table` for its name of the table. */
enum store_result store_execute_renamed(struct store *store, struct slice sql,
                                        const char *table, struct error *error);

/* Learns what the table is, in one snapshot. */
enum store_result store_open_table(struct store *store, const char *table,
                                   struct error *error);

/* Finds the WAL's index in memory, after a read, which opens the WAL where there is one. */
void store_find_wal_index(struct store *store);

/* An index, trigger, view or table of the schema, except the table of notifications itself. */
struct store_object {
    const char *type; /* "index", "trigger", "view", "table" */
    const char *name;
    const char *table; /* that an index or trigger belongs to; else the name */
    const char *sql;   /* as it should be */
    enum { STORE_OBJECT_SAME, STORE_OBJECT_MISSING, STORE_OBJECT_OTHER } state;
};

typedef enum store_result (*store_object_fn)(void *arg, const struct store_object *object,
                                             struct error *error);

/* Calls fn for each object of the schema that the table lacks or has in another form. fn may make
 * and drop objects. The strings are valid until it returns. */
enum store_result store_compare_objects(struct store *store, store_object_fn fn, void *arg,
                                        struct error *error);

/* The statement in it that makes the table alone. */
struct slice store_table_text(void);

/* *whole: the table has all columns, the defaults that a writer relies on, and AUTOINCREMENT. */
enum store_result store_table_is_whole(struct store *store, bool *whole,
                                       struct error *error);

/* --- store/rebuild.c --- */

/* Makes the table again by the schema, with its rows, the columns that are not ours, and all
 * indexes and triggers that it has. Within a transaction. */
enum store_result store_rebuild_table(struct store *store, struct error *error);

/* --- store/base.c --- */

/* Within a transaction: gives the table a base where its next id may be one that readers have
 * passed. *moved_to: the base; it stays where there was no need. */
enum store_result store_move_ids_on(struct store *store, int64_t *moved_to,
                                    struct error *error);

/* --- store/schema.c --- */

struct store_schema {
    const char *table; /* as the user spells it */
    int version;       /* of the present schema; at least 1 */
    /* steps[N]: SQL from version N to N + 1, in the manner of sql/schema.sql (its name for the
     * table is replaced); [0] is not used. */
    const char *const *steps;
};

/* Makes the table by sql/schema.sql, or migrates it: in one transaction, which begins and ends
 * here, so that a step that fails leaves the version that was there. The store is open by
 * store_open_file, to write. */
enum store_result store_make_table(struct store *store, const struct store_schema *schema,
                                   struct store_init_result *outcome, struct error *error);

/* --- store/inspect.c --- */

/* As sqlite3_open_v2 to store->db, for STORE_INSPECT and a replica; sets store->is_alone and
 * returns SQLite's code. */
int store_open_to_look(struct store *store);

/* --- store/sql.c --- */

/* SQL for sqlite3_free; NULL: out of memory. */
char *store_statement_text(const struct store *store, enum store_statement which);

/* The rows of a range, in the order of their ids. */
char *store_read_text(const struct store *store, enum store_reading reading, unsigned way);

/* Asks SQLite how it would look for the row that replaces another one. */
char *store_newer_plan_text(const struct store *store);

/* --- store/statement.c --- */

/* The prepared statement, NULL with *error (and *result) when it cannot be had. It is reset;
 * the caller resets it again as soon as it has what it wants. */
sqlite3_stmt *store_statement(struct store *store, enum store_statement which,
                              enum store_result *result, struct error *error);
sqlite3_stmt *store_read_statement(struct store *store, enum store_reading reading,
                                   unsigned way, enum store_result *result,
                                   struct error *error);

/* Sets *number to the first column of the first row; without a row it stays. `text` (may be NULL)
 * is the statement's parameter. */
enum store_result store_ask_number(struct store *store, const char *sql, const char *text,
                                   int64_t *number, struct error *error);

void store_finalize_all(struct store *store);

/* Sets can_collapse. Without an index each row with a key would cost a look at all rows after
 * it. */
enum store_result store_find_key_index(struct store *store, struct error *error);

#endif
