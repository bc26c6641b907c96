/* internal.h - what the files of track share; no other file includes it.
 *
 * track/definition.c reads and writes rowcast_track, track/table.c and track/indexes.c learn the
 * table, track/fill.c fills in the defaults, track/bind.c joins the two and refuses what cannot be
 * tracked, track/scan.c cuts the SQL of indexes and looks at --where, track/expression.c writes
 * the expressions of a row, track/triggers.c the triggers, track/state.c the query of the state,
 * track/reset.c the event that makes readers load the state again, track/apply.c (with
 * track/plan.h) and track/compare.c are what commands call. */
#ifndef ROWCAST_TRACK_INTERNAL_H
#define ROWCAST_TRACK_INTERNAL_H

#include <sqlite3.h>

#include "store/connection.h"
#include "track/track.h"

/* --- definition.c ------------------------------------------------------------------------------
 */

struct track_names {
    char **items; /* each its own, by strdup */
    size_t count, room;
};

struct track_definition {
    char *name;         /* as the schema spells it */
    char *notification; /* the table that the events go to */
    struct track_names key, columns;
    bool default_key;     /* not given: they follow the table */
    bool default_columns; /* ... at each `rowcast track` */
    char *channel;        /* NULL: channel_column */
    char *channel_column, *recipient_column, *where;
};

/* The tables of track: definitions, and rows that a statement may be about to replace. */
extern const char track_schema[];

void track_definition_fini(struct track_definition *definition);

/* Appends a copy of the text. False: out of memory. */
bool track_names_add(struct track_names *names, const char *text);
void track_names_fini(struct track_names *names);

/* *found: whether there is one for the store's table of notifications. `name` in any case of
 * letters. */
enum store_result track_definition_read(struct store *store, struct slice name,
                                        struct track_definition *definition, bool *found,
                                        struct error *error);

/* The names of all definitions for the store's table of notifications, in order. */
enum store_result track_definition_names(struct store *store, struct track_names *names,
                                         struct error *error);

/* The statement that writes it; appended to sql with ";\n". */
void track_definition_put(const struct track_definition *definition, sqlite3_str *sql);

/* --- table.c ------------------------------------------------------------------------------------
 */

/* What a column may hold, so that an expression for its values need not ask for more. */
enum track_kind {
    TRACK_INTEGER, /* integers, NULL */
    TRACK_REAL,    /* reals, NULL */
    TRACK_TEXT,    /* texts, BLOBs, NULL */
    TRACK_ANY      /* everything */
};

struct track_column {
    char *name;
    char *fallback; /* the expression of its DEFAULT; NULL: none */
    char *collation;
    enum track_kind kind;
    bool is_text;   /* texts stand there as they are: TEXT affinity */
    bool is_loose;  /* values that are equal may be of other types: 1 and 1.0 */
    bool is_rowid;  /* INTEGER PRIMARY KEY of a table with rowids */
    bool is_blob;   /* declared as BLOB */
    bool is_strict; /* of a STRICT table: BLOB there is nothing but BLOBs */
    bool not_null;
    int in_primary; /* its place in the primary key, from 1; 0: not of it */
};

struct track_part {
    int column;      /* of the table; -1: an expression */
    char *text;      /* the expression; NULL: a column */
    char *collation; /* by which values are equal there */
    bool is_descending;
};

/* An index that lets no two rows be equal, other than the rowid. */
struct track_unique {
    char *name;
    char *where; /* of a partial index; NULL: none */
    bool is_primary;
    struct track_part parts[TRACK_COLUMNS_MAX];
    size_t count;
};

struct track_table {
    char *name;
    struct track_column *columns;
    size_t count;
    struct track_unique *uniques;
    size_t unique_count;
    bool has_hidden_rowid; /* a rowid that is no column, by the name _rowid_ */
};

/* Learns the table. *found: false when there is none. Views, virtual tables and the like are
 * refused with the reason. */
enum store_result track_table_read(struct store *store, const char *name,
                                   struct track_table *table, bool *found,
                                   struct error *error);
void track_table_fini(struct track_table *table);

/* The column of that name (in any case of letters), -1: none. */
int track_table_find(const struct track_table *table, const char *name);

/* A column of the statement's row, by strdup; NULL: it is NULL, or out of memory. */
char *track_copy_text(sqlite3_stmt *statement, int column);

/* As in "cannot learn the table". */
#define TRACK_LEARNING "learn the table"

/* --- indexes.c ----------------------------------------------------------------------------------
 */

/* Appends the table's unique indexes to table->uniques. */
enum store_result track_read_indexes(struct store *store, struct track_table *table,
                                     struct error *error);
void track_unique_fini(struct track_unique *unique);

/* --- bind.c -------------------------------------------------------------------------------------
 */

/* A column of the key at its place in the index. */
struct track_order {
    size_t at; /* of struct track's key */
    bool is_descending;
};

struct track {
    struct track_definition definition;
    struct track_table table;
    char *quoted; /* the table's name in double quotes */
    size_t key[TRACK_KEY_MAX];
    const char *key_collation[TRACK_KEY_MAX]; /* of the index that makes it a key */
    size_t key_count;
    struct track_order
        order[TRACK_KEY_MAX]; /* key_count of them: how that index has its rows */
    size_t columns[TRACK_COLUMNS_MAX];
    size_t column_count;
    int channel_column, recipient_column; /* -1: none */
    const struct track_unique *key_index; /* NULL: the rowid */
    bool key_is_exact;                    /* equal keys have equal bytes */
};

/* Joins the two, of which it takes possession also when it fails. */
enum store_result track_bind(struct store *store, struct track_definition *definition,
                             struct track_table *table, struct track **track,
                             struct error *error);

/* Says why the definition cannot be tracked: "orders: WHAT NAME". name: NULL, or what it is about.
 * Returns STORE_REFUSED. */
enum store_result track_refuse(const struct track_definition *definition,
                               struct error *error, const char *what, const char *name);

/* --- fill.c -------------------------------------------------------------------------------------
 */

/* Fills in the defaults of the definition: key and columns. */
enum store_result track_fill(struct store *store, struct track_definition *definition,
                             const struct track_table *table, struct error *error);

/* --- scan.c -------------------------------------------------------------------------------------
 */

/* The texts of an index's parts and of its WHERE, from its CREATE INDEX. False: it cannot be read.
 */
struct track_index_text {
    struct slice parts[TRACK_COLUMNS_MAX];
    size_t count;
    struct slice where; /* p NULL: none */
};
bool track_scan_index(const char *sql, struct track_index_text *text);

/* Whether an expression may stand in the triggers: the same for every program, and without a
 * way to fail. Returns 0, or -1 with *error. */
int track_scan_where(const char *where, struct error *error);

/* --- expression.c -------------------------------------------------------------------------------
 */

/* Appended to sql. `from` says of which row: "OLD", "NEW", or track->quoted for the row in the
 * table. */
void track_put_column(sqlite3_str *sql, const char *from, const char *name);
void track_put_value(sqlite3_str *sql, const struct track_column *column, const char *from);
void track_put_key(sqlite3_str *sql, const struct track *track, const char *from);
void track_put_row(sqlite3_str *sql, const struct track *track, const char *from);
void track_put_channel(sqlite3_str *sql, const struct track *track, const char *from);
void track_put_recipient(sqlite3_str *sql, const struct track *track, const char *from);

/* "1" and what else must be true: of a row that has a key; of one that some reader may see. */
void track_put_has_key(sqlite3_str *sql, const struct track *track, const char *from);
void track_put_visible(sqlite3_str *sql, const struct track *track, const char *from);

/* Whether every row is for the same readers. */
bool track_is_for_all(const struct track *track);

/* The value of --where for a row, 1 or 0. Only with a definition that has one. */
void track_put_where(sqlite3_str *sql, const struct track *track, const char *from);

/* All columns of a row of OLD or NEW as a table of one row, so that an expression of the
 * table's columns can be asked of it: (SELECT ...) AS "orders" */
void track_put_as_table(sqlite3_str *sql, const struct track *track, const char *from);

/* --- triggers.c ---------------------------------------------------------------------------------
 */

#define TRACK_TRIGGERS 10

/* The name of a trigger, for sqlite3_free; `at` below TRACK_TRIGGERS. */
char *track_trigger_name(const char *table, size_t at);

/* CREATE TRIGGER without a semicolon, for sqlite3_free; NULL: out of memory. *needed: false
 * when this table does without that trigger (the text is empty then). */
char *track_trigger_text(const struct track *track, size_t at, bool *needed);

/* --- reset.c ------------------------------------------------------------------------------------
 */

/* Appends the statement that makes an event `reset` on each channel on which readers may have
 * rows of that definition. track: the definition joined with the table; NULL: it does not fit
 * any more. */
void track_put_reset(sqlite3_str *sql, const struct track_definition *definition,
                     const struct track *track);

/* --- compare.c ----------------------------------------------------------------------------------
 */

/* Triggers that differ from what the generator makes, and those of them that do not exist. */
struct track_differences {
    size_t wrong, missing;
};

/* Within a transaction. */
enum store_result track_compare_triggers(struct store *store, const struct track *track,
                                         struct track_differences *found,
                                         struct error *error);

/* Appends what is tracked, for people: "key id; columns id, state; channel orders". */
void track_describe(const struct track *track, struct buf *said);

#endif
