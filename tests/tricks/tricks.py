"""tricks.py - what administrators, backup tools, migrations and containers do to a database under a
running program. A trick is a function that plays it on a cell (cell.py) and yields where rows are to
be written and the rule to be asked for.

What a trick itself takes away it does within cell.taking: the rows that were committed since the
moment given (0: all). Everything else that was committed must be in the file at the end. A trick
that `destroys` leaves a file of which nothing can be asked. One that `lasts` (in one journal, or True:
in both) leaves a state that
doctor must find."""

import os
import re
import time

from cell import JOURNALS, LASTS, MENDED, MODES, QUIET, ROLLBACK, ROWS, TELLS, WAL, Step

TRICKS = []
SERVED = tuple(mode for mode in MODES if mode != "CGI")
IN_WAL = (WAL,)
IN_ROLLBACK = (ROLLBACK,)
# With a rollback journal SQLite looks at the file anew for each transaction, in whatever process and
# thread: where a trick is played in WAL too, the other modes add nothing.
IN_ROLLBACK_TOO = ("plain", "publishing")


class Trick:
    def __init__(self, function, says, options):
        options = dict(options)
        self.name = function.__name__.replace("_", "-")
        self.says = says
        self.play = function
        journals = options.pop("journals", JOURNALS)
        modes = options.pop("modes", tuple(MODES))
        self.cells = [(mode, journal) for journal in journals for mode in modes
                      if journal == WAL or mode in IN_ROLLBACK_TOO or journals != JOURNALS]
        self.arrange = options.pop("arrange", None)     # before the program starts
        # The state is there from the start on: no rows come before the trick.
        self.is_arranged_only = options.pop("is_arranged_only", False)
        self.destroys = options.pop("destroys", False)
        # Where the fault is told, the log must say this.
        self.remedy = re.compile(options.pop("remedy", ""), re.IGNORECASE)
        self.lasts = options.pop("lasts", False)
        self.found_as = options.pop("found_as", ("warning", "problem"))     # by doctor
        assert not options, options


def trick(says, **options):
    def register(function):
        TRICKS.append(Trick(function, says, options))
        return function
    return register


# --- removed ---------------------------------------------------------------------------------

@trick("-shm removed", journals=IN_WAL)
def shm_removed(cell):
    with cell.quiet():
        cell.remove("-shm")
    yield ROWS


@trick("-wal and -shm removed after a checkpoint", journals=IN_WAL)
def wal_and_shm_removed(cell):
    with cell.quiet():
        cell.checkpoint()
        cell.remove("-wal", "-shm")
    yield ROWS


@trick("-wal and -shm removed, with what is in them", journals=IN_WAL)
def wal_and_shm_removed_full(cell):
    with cell.taking():
        cell.remove("-wal", "-shm")
    yield ROWS


@trick("all files removed and made anew between two looks")
def all_removed_and_made_again(cell):
    with cell.quiet(), cell.frozen():
        cell.remove("", "-wal", "-shm", "-journal")
        cell.init(cell.db)
        cell.take()
        cell.write(3)
    yield ROWS


@trick("all files removed, and later made anew", lasts=True)
def all_removed(cell):
    with cell.taking():
        cell.remove("", "-wal", "-shm", "-journal")
    yield TELLS
    with cell.taking():
        cell.init(cell.db)
    yield MENDED


# --- renamed, replaced -----------------------------------------------------------------------

def away(cell):
    os.makedirs(f"{cell.root}/away", exist_ok=True)
    return f"{cell.root}/away/rowcast.db"


@trick("renamed away, and back later", lasts=True)
def renamed_away_and_back(cell):
    with cell.quiet():
        cell.move(cell.db, away(cell))
    yield TELLS
    with cell.quiet():
        cell.move(away(cell), cell.db)
    yield MENDED


@trick("renamed away and back between two looks")
def renamed_away_and_back_at_once(cell):
    with cell.quiet(), cell.frozen():
        cell.move(cell.db, away(cell))
        cell.move(away(cell), cell.db)
        cell.write(3)
    yield ROWS


@trick("only the database renamed away, and back later")
def database_alone_renamed_away_and_back(cell):
    with cell.quiet():
        os.rename(cell.db, away(cell))
    yield Step(rows=0, must_tell=True)
    with cell.quiet():
        os.rename(away(cell), cell.db)
    yield MENDED


def make_other(cell):
    """Another database."""
    path = f"{cell.root}/other.db"
    cell.init(path)
    return path


@trick("another database renamed over it")
def another_renamed_over(cell):
    other = make_other(cell)
    with cell.taking():
        cell.remove("-wal", "-shm", "-journal")
        os.rename(other, cell.db)
    yield MENDED


@trick("another database copied into it")
def another_copied_into(cell):
    other = make_other(cell)
    with cell.taking():
        cell.checkpoint()
        cell.remove("-wal", "-shm", "-journal")
        cell.run("cp", other, cell.db)
    yield ROWS


@trick("a copy of itself renamed over it")
def replaced_by_its_copy(cell):
    with cell.quiet():
        cell.checkpoint()
        cell.run("cp", "-p", cell.db, f"{cell.db}.copy")
        cell.remove("-wal", "-shm", "-journal")
        os.rename(f"{cell.db}.copy", cell.db)
    yield ROWS


@trick("a copy of itself renamed over it, and rows written, between two looks")
def replaced_by_its_copy_at_once(cell):
    with cell.quiet(), cell.frozen():
        cell.checkpoint()
        cell.run("cp", "-p", cell.db, f"{cell.db}.copy")
        cell.remove("-wal", "-shm", "-journal")
        os.rename(f"{cell.db}.copy", cell.db)
        cell.write(3)
    yield ROWS


# --- restored --------------------------------------------------------------------------------
# Without `rowcast rebase` ids are given a second time. Of that only a program that runs can know:
# a page that comes back with an id of the other life cannot be told from one of this life.

def back_up(cell):
    """By SQLite's own means. Returns the moment from which on rows may not be in it."""
    moment = time.monotonic()
    cell.sqlite(cell.db, f".backup {cell.root}/backup.db")
    return moment


@trick("a backup copied over it, its WAL removed, and rebase")
def restored_by_copy(cell):
    since = back_up(cell)
    yield ROWS
    with cell.taking(since):
        cell.remove("-wal", "-shm", "-journal")
        cell.run("cp", f"{cell.root}/backup.db", cell.db)
        cell.run(cell.options.rowcast, "rebase", "--db", cell.db)
    yield ROWS


@trick("a backup copied over it while its WAL is left behind", journals=IN_WAL, destroys=True)
def restored_by_copy_wal_left(cell):
    since = back_up(cell)
    yield ROWS
    with cell.taking(since):
        cell.run("cp", f"{cell.root}/backup.db", cell.db)
    yield ROWS


@trick("a backup renamed over it, and more rows than were lost, between two looks", modes=SERVED)
def restored_and_outrun(cell):
    since = back_up(cell)
    yield ROWS
    with cell.quiet(), cell.frozen():
        cell.remove("-wal", "-shm", "-journal")
        os.rename(f"{cell.root}/backup.db", cell.db)
        cell.take(since)
        cell.write(12)
    yield ROWS


@trick("restored by sqlite3's .restore", modes=SERVED)
def restored_by_dot_restore(cell):
    since = back_up(cell)
    yield ROWS
    with cell.taking(since):
        cell.sqlite(cell.db, f".restore {cell.root}/backup.db")
    yield ROWS


@trick("restored by sqlite3's .backup into it", modes=SERVED)
def restored_by_dot_backup(cell):
    since = back_up(cell)
    yield ROWS
    with cell.taking(since):
        # .timeout is not for the file that it writes to: an administrator repeats it.
        cell.wait_until(lambda: cell.sqlite(f"{cell.root}/backup.db", f".backup {cell.db}",
                                            check=False).returncode == 0, ".backup into it")
    yield ROWS


@trick("restored by .restore, and more rows than were lost, between two looks", modes=SERVED)
def restored_by_dot_restore_and_outrun(cell):
    since = back_up(cell)
    yield ROWS
    with cell.quiet(), cell.frozen():
        cell.sqlite(cell.db, f".restore {cell.root}/backup.db")
        cell.take(since)
        cell.write(12)
    yield ROWS


@trick("backed up by .backup, VACUUM INTO and cp")
def backed_up(cell):
    back_up(cell)
    cell.sqlite(cell.db, f"VACUUM INTO '{cell.root}/into.db'")
    cell.run("cp", "-a", cell.folder, f"{cell.root}/copy")
    yield ROWS


# --- truncated, overwritten ------------------------------------------------------------------

def put_backup_back(cell):
    with cell.taking():
        cell.remove("-wal", "-shm", "-journal")
        cell.run("cp", f"{cell.root}/backup.db", cell.db)
        cell.run(cell.options.rowcast, "rebase", "--db", cell.db)


@trick("the database truncated, and restored later", lasts=True)
def database_truncated(cell):
    back_up(cell)
    with cell.taking():
        cell.checkpoint()
        cell.remove("-wal", "-shm", "-journal")
        os.truncate(cell.db, 0)
    yield TELLS
    put_backup_back(cell)
    yield MENDED


@trick("the database overwritten with what is none, and restored later", lasts=True)
def database_overwritten(cell):
    back_up(cell)
    with cell.taking():
        cell.checkpoint()
        cell.remove("-wal", "-shm", "-journal")
        cell.run("cp", "/etc/services", cell.db)
    yield TELLS
    put_backup_back(cell)
    yield MENDED


@trick("-wal truncated after a checkpoint", journals=IN_WAL)
def wal_truncated(cell):
    with cell.quiet():
        cell.sqlite(cell.db, "PRAGMA wal_checkpoint(FULL)")
        os.truncate(f"{cell.db}-wal", 0)
    yield ROWS


@trick("-wal truncated with what is in it", journals=IN_WAL, destroys=True)
def wal_truncated_full(cell):
    """Whoever has the index in memory goes on behind the hole, and what he writes is never found again."""
    with cell.taking():
        os.truncate(f"{cell.db}-wal", 0)
    yield ROWS


@trick("-shm truncated", journals=IN_WAL)
def shm_truncated(cell):
    with cell.quiet():
        os.truncate(f"{cell.db}-shm", 0)
    yield ROWS


# --- two names, links ------------------------------------------------------------------------

@trick("a hard link by whose name the application writes", lasts=True, found_as=("problem",))
def hard_link(cell):
    with cell.quiet():
        cell.checkpoint()
        os.mkdir(f"{cell.root}/linked")
        cell.writer_db = f"{cell.root}/linked/app.db"
        os.link(cell.db, cell.writer_db)
    yield LASTS if cell.journal == WAL else ROWS


def behind_a_link(cell):
    """The program and the writer know the database by a link."""
    cell.move(cell.db, f"{cell.folder}/first.db")
    os.symlink("first.db", cell.db)


def turn_link(link, target):
    os.symlink(target, f"{link}.new")
    os.rename(f"{link}.new", link)


@trick("a link turned to another database in its folder", arrange=behind_a_link)
def link_turned(cell):
    cell.init(f"{cell.folder}/second.db")
    with cell.taking():
        turn_link(cell.db, "second.db")
    yield ROWS


@trick("a link turned to a database in another folder", remedy="restart", arrange=behind_a_link)
def link_turned_elsewhere(cell):
    os.mkdir(f"{cell.root}/elsewhere")
    cell.init(f"{cell.root}/elsewhere/second.db")
    with cell.taking():
        turn_link(cell.db, f"{cell.root}/elsewhere/second.db")
    yield ROWS


def in_a_release(cell):
    """Its folder is behind a link, as of releases that are switched."""
    os.rename(cell.folder, f"{cell.root}/release-1")
    os.symlink("release-1", cell.folder)


@trick("the link to its folder turned to another release", remedy="restart", arrange=in_a_release)
def folder_link_turned(cell):
    os.mkdir(f"{cell.root}/release-2")
    cell.init(f"{cell.root}/release-2/rowcast.db")
    with cell.taking():
        turn_link(cell.folder, "release-2")
    yield ROWS


@trick("the link to its folder turned to a copy of it", remedy="restart", arrange=in_a_release)
def folder_link_turned_to_copy(cell):
    with cell.quiet():
        cell.checkpoint()
        cell.run("cp", "-a", f"{cell.root}/release-1", f"{cell.root}/release-2")
        turn_link(cell.folder, "release-2")
    yield ROWS


# --- the folder ------------------------------------------------------------------------------

@trick("its folder renamed, and another in its place", remedy="restart")
def folder_replaced(cell):
    with cell.taking():
        os.rename(cell.folder, f"{cell.folder}.old")
        os.mkdir(cell.folder)
        cell.init(cell.db)
    yield ROWS


@trick("its folder replaced by a copy", remedy="restart")
def folder_replaced_by_copy(cell):
    with cell.quiet():
        cell.checkpoint()
        cell.run("cp", "-a", cell.folder, f"{cell.folder}.new")
        os.rename(cell.folder, f"{cell.folder}.old")
        os.rename(f"{cell.folder}.new", cell.folder)
    yield ROWS


@trick("its folder renamed away, and back later", lasts=True)
def folder_renamed_away_and_back(cell):
    with cell.quiet():
        os.rename(cell.folder, f"{cell.folder}.old")
    yield TELLS
    with cell.quiet():
        os.rename(f"{cell.folder}.old", cell.folder)
    yield MENDED


# --- mounts ----------------------------------------------------------------------------------

def mount(cell, *arguments):
    cell.run("mount", *arguments)


def mount_file_alone(cell, source, target):
    """A container's view: of the database the file is mounted, and nothing beside it. In a mount
    namespace of the program's own, as the writer does not see that."""
    os.mkdir(os.path.dirname(target))
    cell.run("touch", target)
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh",
            source, target]


def program_in_container(cell):
    cell.db = f"{cell.root}/inside/rowcast.db"
    cell.prefix = mount_file_alone(cell, cell.writer_db, cell.db)


@trick("only the file is mounted for the program; the writer is outside", journals=IN_WAL,
       arrange=program_in_container, is_arranged_only=True, lasts=True, found_as=("problem",))
def file_mounted_for_program(_cell):
    yield LASTS


def writer_in_container(cell):
    """The other way round: it is the writer that has a mount, which the program cannot see."""
    cell.writer_db = f"{cell.root}/inside/rowcast.db"
    os.mkdir(os.path.dirname(cell.writer_db))
    cell.run("touch", cell.writer_db)
    mount(cell, "--bind", cell.db, cell.writer_db)
    cell.prefix = ["unshare", "--mount", "sh", "-c", 'umount "$1" && shift && exec "$@"', "sh",
                   cell.writer_db]
    cell.held = cell.connect()      # an application server


@trick("only the file is mounted for the writer; the program is outside", journals=IN_WAL,
       arrange=writer_in_container, is_arranged_only=True, lasts=True, found_as=("problem",))
def file_mounted_for_writer(_cell):
    yield LASTS


def overlay(cell):
    """The program sees the folder through a read-only overlay; the writer has it in the lower layer,
    and has it open."""
    os.mkdir(f"{cell.root}/merged")
    os.mkdir(f"{cell.root}/empty")
    cell.held = cell.connect()
    cell.write(3)
    mount(cell, "-t", "overlay", "overlay", "-o", f"lowerdir={cell.root}/empty:{cell.folder}",
          f"{cell.root}/merged")
    cell.db = f"{cell.root}/merged/rowcast.db"


@trick("a read-only overlay, the writer in the lower layer", arrange=overlay, is_arranged_only=True,
       lasts=WAL, found_as=("problem",), modes=("plain", "publishing", "CGI"))
def overlay_over_writer(cell):
    for row in cell.ledger.committed():     # from before the start: nobody listened
        for page in cell.pages:
            page.reader.since = max(page.reader.since, row.done)
    cell.wait_until(lambda: all(p.reader.opened.is_set() or p.reader.refusals for p in cell.pages)
                    or cell.is_unwell(), "the program to answer")
    yield ROWS
    # The last of the writers leaves, and takes -wal and -shm along: of the program it sees nothing.
    cell.held.close()
    cell.held = None
    yield LASTS if cell.journal == WAL else ROWS


def on_a_file_system(size="20m"):
    """On a file system of its own, in memory."""
    def arrange(cell):
        os.rename(cell.folder, f"{cell.root}/image")
        os.mkdir(cell.folder)
        mount(cell, "-t", "tmpfs", "-o", f"size={size}", "none", cell.folder)
        cell.run("cp", "-a", f"{cell.root}/image/.", cell.folder)
    return arrange


@trick("remounted read-only while the program is away, and back while it runs", modes=SERVED,
       arrange=on_a_file_system())
def remounted_read_only(cell):
    with cell.quiet():
        cell.end_supervisor()
        mount(cell, "-o", "remount,ro", cell.folder)
        cell.supervisor.start()
    yield QUIET
    with cell.quiet():
        mount(cell, "-o", "remount,rw", cell.folder)
    yield MENDED


@trick("the disk full, and space later", arrange=on_a_file_system("1m"))
def disk_full(cell):
    cell.run("dd", "if=/dev/zero", f"of={cell.folder}/ballast", "bs=4k", check=False)
    yield ROWS
    os.remove(f"{cell.folder}/ballast")
    yield MENDED


# --- the journal -----------------------------------------------------------------------------

def try_journal(cell, mode, seconds=1.0):
    """As an application does at its start. While others have it open SQLite refuses to leave WAL."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done = cell.sqlite(cell.db, f"PRAGMA journal_mode = {mode}", check=False)
        if done.returncode == 0 and done.stdout.strip().lower() == mode.lower().encode():
            return
        time.sleep(0.1)
    cell.note(f"journal_mode {mode} was refused")


@trick("journal_mode DELETE and back", journals=IN_WAL)
def journal_to_delete_and_back(cell):
    with cell.quiet():
        try_journal(cell, "DELETE")
    yield ROWS
    with cell.quiet():
        try_journal(cell, "WAL")
    yield ROWS


@trick("journal_mode WAL and back", journals=IN_ROLLBACK)
def journal_to_wal_and_back(cell):
    with cell.quiet():
        try_journal(cell, "WAL")
    yield ROWS
    with cell.quiet():
        try_journal(cell, "DELETE")
    yield ROWS


@trick("a writer with journal_mode PERSIST", journals=IN_ROLLBACK)
def journal_persist(cell):
    cell.pragmas += "PRAGMA journal_mode = PERSIST;"
    yield ROWS
    cell.held = cell.connect()
    yield ROWS


@trick("a writer with journal_mode TRUNCATE", journals=IN_ROLLBACK)
def journal_truncate(cell):
    cell.pragmas += "PRAGMA journal_mode = TRUNCATE;"
    yield ROWS
    cell.held = cell.connect()
    yield ROWS


@trick("VACUUM")
def vacuum(cell):
    cell.delete_rows()
    cell.write(3)
    cell.sqlite(cell.db, "VACUUM")
    yield ROWS


@trick("a checkpoint of each kind, while a writer holds the database", journals=IN_WAL)
def checkpointed(cell):
    cell.held = cell.connect()
    for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
        with cell.quiet():
            cell.sqlite(cell.db, f"PRAGMA wal_checkpoint({kind})")
        yield ROWS


# --- migrations ------------------------------------------------------------------------------

COLUMNS = "id, channel, recipient, event, data, collapse_key, created_at, expires_at"
BODY = """(id INTEGER NOT NULL PRIMARY KEY {auto}, channel TEXT NOT NULL DEFAULT 'default',
recipient TEXT, event TEXT, data TEXT NOT NULL, collapse_key TEXT, created_at INTEGER NOT NULL DEFAULT 0,
expires_at INTEGER, added TEXT)"""


def django(cell, auto="AUTOINCREMENT"):
    """Django's schema editor, sqlite-utils and others: a new table, copied, DROP, RENAME."""
    cell.sqlite(cell.db, f"""BEGIN IMMEDIATE;
CREATE TABLE "new__notification" {BODY.format(auto=auto)};
INSERT INTO "new__notification"({COLUMNS}) SELECT {COLUMNS} FROM notification;
DROP TABLE notification;
ALTER TABLE "new__notification" RENAME TO notification;
COMMIT""")


def rails(cell):
    """Active Record: copied away, and back into the table made anew."""
    cell.sqlite(cell.db, f"""BEGIN IMMEDIATE;
CREATE TEMPORARY TABLE "anotification" {BODY.format(auto='')};
INSERT INTO "anotification"({COLUMNS}) SELECT {COLUMNS} FROM notification;
DROP TABLE notification;
CREATE TABLE notification {BODY.format(auto='AUTOINCREMENT')};
INSERT INTO notification({COLUMNS}) SELECT {COLUMNS} FROM "anotification";
DROP TABLE "anotification";
COMMIT""")


def without_triggers(cell):
    """A migration that leaves the table alone, and the triggers out."""
    names = cell.sqlite(cell.db, "SELECT name FROM sqlite_master WHERE type = 'trigger'").stdout
    cell.sqlite(cell.db, ";".join(f'DROP TRIGGER "{name}"' for name in names.decode().split()))


def migration(cell, migrate):
    """Then rows come, and are deleted by the application: who was away meanwhile is to hear of it,
    whether he comes back while it is told what to do, or when that has been done."""
    with cell.quiet():
        migrate(cell)
    yield LASTS
    early, late = cell.visit(), cell.visit()
    cell.write(3)
    yield QUIET
    cell.delete_rows()
    cell.restart()      # what a running program has in memory is not the table
    early.come_back()
    yield ROWS
    cell.were_told()
    cell.init(cell.db)     # as the log says
    late.come_back()
    yield MENDED


def empty_first(cell):
    cell.delete_rows()


@trick("a migration that copies, drops and renames the table", lasts=True)
def migrated_as_django(cell):
    yield from migration(cell, django)


@trick("a migration that copies, drops and renames the empty table",
       modes=("plain", "publishing", "retention"), lasts=True)
def migrated_as_django_empty(cell):
    empty_first(cell)
    yield from migration(cell, django)


@trick("a migration that makes the table anew without AUTOINCREMENT",
       modes=("plain", "retention"), lasts=True)
def migrated_without_autoincrement(cell):
    yield from migration(cell, lambda cell: django(cell, auto=""))


@trick("a migration that makes the empty table anew without AUTOINCREMENT",
       modes=("plain", "retention"), lasts=True)
def migrated_without_autoincrement_empty(cell):
    empty_first(cell)
    yield from migration(cell, lambda cell: django(cell, auto=""))


@trick("a migration that copies the table away and back", modes=("plain", "publishing"), lasts=True)
def migrated_as_rails(cell):
    yield from migration(cell, rails)


@trick("a migration that copies the empty table away and back",
       modes=("plain", "publishing"), lasts=True)
def migrated_as_rails_empty(cell):
    empty_first(cell)
    yield from migration(cell, rails)


@trick("the triggers dropped", modes=("plain", "publishing"), lasts=True)
def triggers_dropped(cell):
    yield from migration(cell, without_triggers)


@trick("a migration, and `rowcast init` after it")
def migrated_and_init(cell):
    empty_first(cell)
    with cell.quiet():
        django(cell)
        cell.init(cell.db)
    yield ROWS
    visitor = cell.visit()
    cell.write(3)
    yield QUIET
    cell.delete_rows()
    cell.restart()
    visitor.come_back()
    yield MENDED


@trick("a column added")
def column_added(cell):
    with cell.quiet():
        cell.sqlite(cell.db, "ALTER TABLE notification ADD COLUMN added TEXT")
    yield ROWS


@trick("the table dropped, and made anew later by `rowcast init`", lasts=True)
def table_dropped(cell):
    with cell.taking():
        cell.sqlite(cell.db, "DROP TABLE notification")
    yield TELLS
    cell.init(cell.db)
    yield MENDED


@trick("the table renamed, and made anew by `rowcast init` between two looks")
def table_renamed(cell):
    with cell.taking(), cell.frozen():
        cell.sqlite(cell.db, "ALTER TABLE notification RENAME TO archive")
        # Its indexes and triggers keep their names, and would stand in the way.
        drops = cell.sqlite(cell.db, "SELECT 'DROP ' || type || ' \"' || name || '\"' FROM sqlite_master"
                            " WHERE tbl_name = 'archive' AND type <> 'table' AND sql IS NOT NULL").stdout
        cell.sqlite(cell.db, ";".join(drops.decode().splitlines()))
        cell.init(cell.db)
    yield ROWS
