/* files.h - whether what a connection has open is what lies at the database's path.
 *
 * A WAL database is three files, and SQLite finds two of them by name, once. When one is
 * removed, replaced or reached by another name, connections keep using what they have open:
 * they read an index that no new commit is noted in, or write over rows that others have
 * committed (sqlite.org/howtocorrupt.html sections 2.4 to 2.6). SQLite itself compares the
 * database file alone. All of this goes by stat: to open one of these files and close it again
 * would drop SQLite's locks (section 2.2). */
#ifndef ROWCAST_STORE_FILES_H
#define ROWCAST_STORE_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct store_file {
    dev_t device;
    ino_t inode; /* 0: there was none */
};

/* What is at the path, links followed; and at the path with the suffix appended. */
struct store_file store_file_at(const char *path);
struct store_file store_file_beside(const char *path, const char *suffix);

/* What a connection has open. An inode cannot be given to another file while it is open, so
 * equal numbers are the same file. */
struct store_files {
    char path[PATH_MAX]; /* without links, as SQLite has it: -wal and -shm are beside it */
    struct store_file database;
    struct store_file wal;
    struct store_file shm;
    int64_t wal_bytes; /* the WAL is known to have had that many */
};

/* Looks at the database file at `path`, links followed, and at the -wal and -shm beside it,
 * before it is opened. Returns 0, or -1 with errno. */
int store_files_begin(struct store_files *files, const char *path);

/* What the first read has found: a database with a WAL has all three files open for as long as
 * it is open itself. */
enum store_files_of { STORE_FILES_OF_ROLLBACK, STORE_FILES_OF_WAL };

/* Notes the -wal and -shm beside `opened` (SQLite's name for the database, without links),
 * after the first read. False when they are not those that lay there before the open: SQLite
 * may have opened one that was removed since, and which one cannot be asked. It is to be closed
 * and opened again. That also happens once where SQLite has just made them. */
bool store_files_note(struct store_files *files, const char *opened,
                      enum store_files_of of);

/* True when one of the three at the path is another one now, is gone, or was not there at the
 * open (the journal mode was changed to WAL since). Four system calls at most. */
bool store_files_have_moved(const struct store_files *files, const char *path);

/* True when both are about the same three files. */
bool store_files_are_same(const struct store_files *a, const struct store_files *b);

/* Notes how long the WAL is, if it has grown: after each read and commit, so that a WAL that is cut
 * off a moment later is found to be. One system call. */
void store_files_note_wal(struct store_files *files);

/* True when the WAL is shorter than was noted: a checkpoint of others has emptied it, or
 * another program has cut it off, with commits in it. Reading shows which. Notes how long it is
 * now. */
bool store_files_wal_shrank(struct store_files *files);

/* The folder of a path, and the one in which the file is, links followed. */
struct store_folders {
    struct store_file given;
    struct store_file real;
};

void store_folders_note(struct store_folders *folders, const char *path);

/* True when what is at the path now is in one of them, or nothing is there. */
bool store_folders_have(const struct store_folders *folders, const char *path);

/* True when the file may have another name by which another process may have it open, with a -wal
 * and -shm of its own beside that name: a hard link, or a file that is mounted by itself. *error
 * says so and what to do. False too when there is no such file. */
bool store_files_have_two_names(const char *path, struct error *error);

/* True when the file is on an overlay that cannot be written: its lower layer may be written by
 * others, whose locks and -shm are not seen here. `error` as above. */
bool store_files_are_a_copy(const char *path, struct error *error);

#endif
