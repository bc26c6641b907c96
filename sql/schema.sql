-- rowcast's schema, version 3: the one source of it.
--
--     sqlite3 new.db < sql/schema.sql
--
-- makes a working database; into an application's own database use `rowcast init --db FILE`,
-- which runs the same text in one transaction, or `sqlite3 -bail` (without -bail the shell goes
-- on after an error, such as another table of that name).
--
-- The program carries what stands between the two "rowcast:" marks below. For another table
-- name (`rowcast init --table NAME`) it replaces the word notification there, wherever a run
-- of [A-Za-z0-9_] is that word or begins with it and an underscore: "notification",
-- "notification_by_channel", 'notification'. So every such name stands in double quotes (NAME
-- may be an SQL keyword), and a word of another meaning must be spelt otherwise here.

PRAGMA journal_mode = WAL; -- readers and the one writer do not hold each other up
BEGIN IMMEDIATE;

-- rowcast:begin

-- What rowcast remembers of each of its tables.
CREATE TABLE IF NOT EXISTS "rowcast_meta"(
    table_name     TEXT PRIMARY KEY COLLATE NOCASE, -- as SQLite compares table names
    schema_version INTEGER NOT NULL,
    base           INTEGER NOT NULL, -- ids up to it belong to no row, or to another life of the table
    low_water      INTEGER NOT NULL  -- the highest id ever deleted; at first the base
);

-- The base is the Unix time in ms, so a database that was deleted and created again never gives an
-- old id a new meaning. A table that was dropped has left its row here: go on above it.
INSERT INTO "rowcast_meta"(table_name, schema_version, base, low_water)
SELECT 'notification', 3, now, now
FROM (SELECT max(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER),
                 coalesce((SELECT max(base, low_water) FROM "rowcast_meta"
                           WHERE table_name = 'notification'), 0)) AS now)
WHERE NOT EXISTS (SELECT 1 FROM sqlite_master
                  WHERE name = 'notification' COLLATE NOCASE)
ON CONFLICT(table_name) DO UPDATE SET schema_version = excluded.schema_version,
    base = excluded.base, low_water = excluded.low_water;

-- The rules for what a column may hold are in the triggers below. A CHECK or NOT NULL constraint
-- would not do: the conflict clause of a statement overrides it, and that clause reaches into the
-- triggers that the statement fires (sqlite.org/lang_createtrigger.html). So an application's
-- INSERT OR IGNORE INTO orders would drop the notification of its trigger without an error.
--
-- data is the last column: SQLite reads a row from its start, and a long text continues on pages
-- of its own, which are then read only for the rows that are delivered.
CREATE TABLE "notification"(
    -- the event id; only grows, is never given twice
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- what a page subscribes to
    channel TEXT NOT NULL DEFAULT 'default',
    -- NULL: everyone who may read the channel; else only this user
    recipient TEXT,
    -- the type that a page listens for; NULL: the unnamed "message"
    event TEXT,
    -- a newer row with the same channel, recipient and key replaces an undelivered older one
    collapse_key TEXT,
    -- Unix milliseconds
    created_at INTEGER NOT NULL
        DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)),
    -- Unix milliseconds; NULL: never; past: not delivered
    expires_at INTEGER,
    data TEXT NOT NULL
);

INSERT INTO sqlite_sequence(name, seq)
SELECT 'notification', base FROM "rowcast_meta"
WHERE table_name = 'notification'
  AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'notification');

-- Both end in the id, as every index does: exact subscriptions read in id order from the
-- first, the second finds a row's newer replacement.
CREATE INDEX "notification_by_channel" ON "notification"(channel, recipient);
CREATE INDEX "notification_by_collapse_key" ON "notification"(channel, collapse_key, recipient)
    WHERE collapse_key IS NOT NULL;
CREATE INDEX "notification_by_expires_at" ON "notification"(expires_at)
    WHERE expires_at IS NOT NULL;

-- What a row may hold. RAISE(ABORT) fails whatever conflict clause the statement has; the words
-- for NULL are SQLite's own. A trigger sees the values after their conversion to the column's type.
-- So an integer has become its digits, which is what the writer meant; but a floating-point number,
-- which is what JavaScript's programs bind for 7, has become '7.0' and would reach no reader. Such a
-- text, one that SQLite itself would write for a floating-point number without a fraction, is
-- refused. An id that is too high would stay in the sequence, which then could not grow any more.
--
-- The WHEN clause keeps the cost down: it is false for every row of plain values, and then SQLite does
-- not run the trigger's program, which costs more than the rest of an INSERT. It is true for every
-- row that the program refuses, and for some that it lets pass: a name with a dot, a plus sign or a
-- letter outside ASCII.
CREATE TRIGGER "notification_insert" BEFORE INSERT ON "notification"
WHEN NEW.id > 9007199254740991
    OR NEW.data IS NULL
    OR typeof(NEW.created_at) <> 'integer' OR typeof(NEW.expires_at) NOT IN ('integer', 'null')
    OR typeof(NEW.channel) <> 'text' OR NEW.channel = '' OR instr(NEW.channel, char(0)) > 0
    OR NEW.channel GLOB '*[^ -*,/-~-]*'
    OR typeof(NEW.recipient) NOT IN ('text', 'null') OR NEW.recipient GLOB '*.0' OR NEW.recipient GLOB '*e+*'
    OR (NEW.event IS NOT NULL
        AND (typeof(NEW.event) <> 'text' OR NEW.event = '' OR instr(NEW.event, char(0)) > 0
             OR NEW.event IN ('open', 'error') OR NEW.event GLOB 'rowcast:*'
             OR NEW.event GLOB '*[^ -*,/-~-]*'))
    OR typeof(NEW.collapse_key) NOT IN ('text', 'null')
    OR NEW.collapse_key GLOB '*.0' OR NEW.collapse_key GLOB '*e+*'
BEGIN
    SELECT CASE
        WHEN NEW.id > 9007199254740991
            THEN RAISE(ABORT, 'rowcast: id must lie between 1 and 9007199254740991')
        WHEN NEW.channel IS NULL
            THEN RAISE(ABORT, 'NOT NULL constraint failed: notification.channel')
        WHEN typeof(NEW.channel) <> 'text' OR NEW.channel = ''
            OR instr(NEW.channel, char(10)) > 0 OR instr(NEW.channel, char(13)) > 0
            OR instr(NEW.channel, char(0)) > 0
            THEN RAISE(ABORT, 'rowcast: channel must be text, not empty, without CR, LF and NUL')
        WHEN typeof(NEW.recipient) NOT IN ('text', 'null')
            THEN RAISE(ABORT, 'rowcast: recipient must be text or NULL')
        WHEN NEW.event IS NOT NULL
            AND (typeof(NEW.event) <> 'text' OR NEW.event = ''
                 OR instr(NEW.event, char(10)) > 0 OR instr(NEW.event, char(13)) > 0
                 OR instr(NEW.event, char(0)) > 0)
            THEN RAISE(ABORT, 'rowcast: event must be NULL or text, not empty, without CR, LF and NUL')
        WHEN NEW.event IN ('open', 'error')
            OR (substr(NEW.event, 1, 8) = 'rowcast:' AND NEW.event <> 'rowcast:read')
            THEN RAISE(ABORT, 'rowcast: event must not be open or error, nor begin with rowcast:')
        WHEN typeof(NEW.collapse_key) NOT IN ('text', 'null')
            THEN RAISE(ABORT, 'rowcast: collapse_key must be text or NULL')
        WHEN ((NEW.channel GLOB '*.0' OR NEW.channel GLOB '*e+*')
                AND NEW.channel = CAST(CAST(NEW.channel AS REAL) AS TEXT))
            OR ((NEW.recipient GLOB '*.0' OR NEW.recipient GLOB '*e+*')
                AND NEW.recipient = CAST(CAST(NEW.recipient AS REAL) AS TEXT))
            OR ((NEW.event GLOB '*.0' OR NEW.event GLOB '*e+*')
                AND NEW.event = CAST(CAST(NEW.event AS REAL) AS TEXT))
            OR ((NEW.collapse_key GLOB '*.0' OR NEW.collapse_key GLOB '*e+*')
                AND NEW.collapse_key = CAST(CAST(NEW.collapse_key AS REAL) AS TEXT))
            THEN RAISE(ABORT, 'rowcast: channel, recipient, event and collapse_key must be text or integer, not a floating-point number (in JavaScript: String(id))')
        WHEN NEW.data IS NULL
            THEN RAISE(ABORT, 'NOT NULL constraint failed: notification.data')
        WHEN NEW.created_at IS NULL
            THEN RAISE(ABORT, 'NOT NULL constraint failed: notification.created_at')
        WHEN typeof(NEW.created_at) NOT IN ('integer', 'real')
            THEN RAISE(ABORT, 'rowcast: created_at must be a number: Unix milliseconds')
        WHEN typeof(NEW.expires_at) NOT IN ('integer', 'real', 'null')
            THEN RAISE(ABORT, 'rowcast: expires_at must be NULL or a number: Unix milliseconds')
    END;
END;

-- The same for an UPDATE. Without an OF clause, which an UPDATE of rowid would pass by; an UPDATE
-- that sets the id to what it is (as object mappers do) does no harm.
CREATE TRIGGER "notification_update" BEFORE UPDATE ON "notification"
WHEN NEW.id IS NOT OLD.id
    OR NEW.data IS NULL
    OR typeof(NEW.created_at) <> 'integer' OR typeof(NEW.expires_at) NOT IN ('integer', 'null')
    OR typeof(NEW.channel) <> 'text' OR NEW.channel = '' OR instr(NEW.channel, char(0)) > 0
    OR NEW.channel GLOB '*[^ -*,/-~-]*'
    OR typeof(NEW.recipient) NOT IN ('text', 'null') OR NEW.recipient GLOB '*.0' OR NEW.recipient GLOB '*e+*'
    OR (NEW.event IS NOT NULL
        AND (typeof(NEW.event) <> 'text' OR NEW.event = '' OR instr(NEW.event, char(0)) > 0
             OR NEW.event IN ('open', 'error') OR NEW.event GLOB 'rowcast:*'
             OR NEW.event GLOB '*[^ -*,/-~-]*'))
    OR typeof(NEW.collapse_key) NOT IN ('text', 'null')
    OR NEW.collapse_key GLOB '*.0' OR NEW.collapse_key GLOB '*e+*'
BEGIN
    SELECT CASE
        WHEN NEW.id IS NOT OLD.id
            THEN RAISE(ABORT, 'rowcast: the id of a row must not change: insert a new row')
        WHEN NEW.channel IS NULL
            THEN RAISE(ABORT, 'NOT NULL constraint failed: notification.channel')
        WHEN typeof(NEW.channel) <> 'text' OR NEW.channel = ''
            OR instr(NEW.channel, char(10)) > 0 OR instr(NEW.channel, char(13)) > 0
            OR instr(NEW.channel, char(0)) > 0
            THEN RAISE(ABORT, 'rowcast: channel must be text, not empty, without CR, LF and NUL')
        WHEN typeof(NEW.recipient) NOT IN ('text', 'null')
            THEN RAISE(ABORT, 'rowcast: recipient must be text or NULL')
        WHEN NEW.event IS NOT NULL
            AND (typeof(NEW.event) <> 'text' OR NEW.event = ''
                 OR instr(NEW.event, char(10)) > 0 OR instr(NEW.event, char(13)) > 0
                 OR instr(NEW.event, char(0)) > 0)
            THEN RAISE(ABORT, 'rowcast: event must be NULL or text, not empty, without CR, LF and NUL')
        WHEN NEW.event IN ('open', 'error')
            OR (substr(NEW.event, 1, 8) = 'rowcast:' AND NEW.event <> 'rowcast:read')
            THEN RAISE(ABORT, 'rowcast: event must not be open or error, nor begin with rowcast:')
        WHEN typeof(NEW.collapse_key) NOT IN ('text', 'null')
            THEN RAISE(ABORT, 'rowcast: collapse_key must be text or NULL')
        WHEN ((NEW.channel GLOB '*.0' OR NEW.channel GLOB '*e+*')
                AND NEW.channel = CAST(CAST(NEW.channel AS REAL) AS TEXT))
            OR ((NEW.recipient GLOB '*.0' OR NEW.recipient GLOB '*e+*')
                AND NEW.recipient = CAST(CAST(NEW.recipient AS REAL) AS TEXT))
            OR ((NEW.event GLOB '*.0' OR NEW.event GLOB '*e+*')
                AND NEW.event = CAST(CAST(NEW.event AS REAL) AS TEXT))
            OR ((NEW.collapse_key GLOB '*.0' OR NEW.collapse_key GLOB '*e+*')
                AND NEW.collapse_key = CAST(CAST(NEW.collapse_key AS REAL) AS TEXT))
            THEN RAISE(ABORT, 'rowcast: channel, recipient, event and collapse_key must be text or integer, not a floating-point number (in JavaScript: String(id))')
        WHEN NEW.data IS NULL
            THEN RAISE(ABORT, 'NOT NULL constraint failed: notification.data')
        WHEN NEW.created_at IS NULL
            THEN RAISE(ABORT, 'NOT NULL constraint failed: notification.created_at')
        WHEN typeof(NEW.created_at) NOT IN ('integer', 'real')
            THEN RAISE(ABORT, 'rowcast: created_at must be a number: Unix milliseconds')
        WHEN typeof(NEW.expires_at) NOT IN ('integer', 'real', 'null')
            THEN RAISE(ABORT, 'rowcast: expires_at must be NULL or a number: Unix milliseconds')
    END;
END;

-- Readers go by "all ids after N": a lower id inserted later would never be seen. Within a
-- statement sqlite_sequence keeps its value from before, and max(id) covers the statement's own
-- rows. A row that another trigger has deleted by now raised low_water to its id: no fault.
CREATE TRIGGER "notification_id_order" AFTER INSERT ON "notification"
WHEN NEW.id <= (SELECT seq FROM sqlite_sequence WHERE name = 'notification')
    OR NEW.id < (SELECT max(id) FROM "notification")
    OR (NEW.id <= (SELECT max(base, low_water) FROM "rowcast_meta"
                   WHERE table_name = 'notification')
        AND EXISTS (SELECT 1 FROM "notification" WHERE id = NEW.id))
BEGIN
    SELECT RAISE(ABORT, 'rowcast: id must be above all ids before it: leave it out, or run rowcast rebase');
END;

-- Whatever program deletes: a reader that was away learns that rows are gone.
CREATE TRIGGER "notification_low_water" AFTER DELETE ON "notification"
BEGIN
    UPDATE "rowcast_meta" SET low_water = OLD.id
    WHERE table_name = 'notification' AND low_water < OLD.id;
END;

-- What follows belongs to the database, not to one table of notifications.

-- Who is connected, of those that `rowcast serve --presence` serves: one row for each user and
-- worker process, and one for each stream of a reader without a name. A worker renews its lease
-- while it runs, so the entries of a killed process leave the view with the lease's end.
CREATE TABLE IF NOT EXISTS "rowcast_presence_worker"(
    worker TEXT PRIMARY KEY,        -- a random name for each process
    until  INTEGER NOT NULL         -- end of the lease, Unix milliseconds
);
CREATE TABLE IF NOT EXISTS "rowcast_presence_entry"(
    worker   TEXT NOT NULL,
    reader   TEXT NOT NULL,         -- the worker's own key of a user or of a stream without one
    user     TEXT,                  -- NULL: a reader without a name
    channels TEXT NOT NULL,         -- a JSON array of the patterns that the streams asked for
    since    INTEGER NOT NULL,      -- when the first of the streams began, Unix milliseconds
    address  TEXT,                  -- of the newest stream
    streams  INTEGER NOT NULL,
    PRIMARY KEY (worker, reader)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS "rowcast_presence_entry_by_user" ON "rowcast_presence_entry"(user)
    WHERE user IS NOT NULL;
-- Users with a row join and without their row leave yet, over all workers and restarts.
CREATE TABLE IF NOT EXISTS "rowcast_presence_user"(
    user    TEXT PRIMARY KEY,
    gone_at INTEGER                 -- when the last stream ended, Unix milliseconds; NULL: one is open
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS "rowcast_presence_user_by_gone_at" ON "rowcast_presence_user"(gone_at)
    WHERE gone_at IS NOT NULL;
CREATE VIEW IF NOT EXISTS "rowcast_presence" AS
    SELECT user, channels, since, address, streams
    FROM "rowcast_presence_entry" JOIN "rowcast_presence_worker" USING (worker)
    WHERE until > CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER);

-- A subscription to Web Push: a reader whose cursor is kept here, since its page may be closed.
-- `rowcast serve` stores it for a browser, `rowcast push` sends to it and moves its cursor.
CREATE TABLE IF NOT EXISTS "rowcast_push"(
    endpoint    TEXT PRIMARY KEY,   -- the push service's URL: who knows it can send, so it is a secret
    user        TEXT,               -- NULL: a reader without a name
    channels    TEXT NOT NULL,      -- a JSON array of patterns
    bounds      TEXT,               -- what the location lets be read, a JSON array of patterns; NULL: everything
    ticket_bounds TEXT,             -- what the ticket lets be read, likewise; a row must be in both
    p256dh      TEXT NOT NULL,      -- the browser's public key, base64url (RFC 8291)
    auth        TEXT NOT NULL,      -- the browser's secret, base64url
    vapid_key   TEXT NOT NULL,      -- the public key that the browser subscribed with, base64url
    absent      INTEGER NOT NULL DEFAULT 0, -- 1: only while the user has no open stream
    page        TEXT,               -- the page that wants declarative messages, a URL; NULL: JSON rows
    address     TEXT,               -- of whom subscribed; subscriptions of one address are bounded
    cursor      INTEGER NOT NULL,   -- all rows up to this id are sent or not for this subscription
    created_at  INTEGER NOT NULL,   -- Unix milliseconds, as all times here
    expires_at  INTEGER,            -- as the browser said; NULL: it did not say
    retry_at    INTEGER,            -- not before this time; NULL: at once
    failures    INTEGER NOT NULL DEFAULT 0, -- in a row
    last_status INTEGER,            -- of HTTP; NULL: no answer yet
    last_error  TEXT
);
CREATE INDEX IF NOT EXISTS "rowcast_push_by_user" ON "rowcast_push"(user);
CREATE INDEX IF NOT EXISTS "rowcast_push_by_address" ON "rowcast_push"(address);

-- How far a user has read a channel, on whatever device. `POST /events/read` moves the mark, and in
-- the same transaction puts a row with the event rowcast:read into the table of notifications: so the
-- user's other pages learn it from the log. An application that moves a mark in its own SQL inserts
-- that row itself.
CREATE TABLE IF NOT EXISTS "rowcast_read"(
    user    TEXT NOT NULL,
    channel TEXT NOT NULL,
    id      INTEGER NOT NULL,       -- of the newest notification that the user has read there
    PRIMARY KEY (user, channel)
) WITHOUT ROWID;

-- No trigger writes that row: a trigger here that names the table of notifications would make a
-- migration that drops and renames that table fail (sqlite.org/lang_altertable.html).

-- Who was thrown out: streams of the user that began before that time end, tickets issued before it
-- are refused, push subscriptions end. A log: each worker reads on from the id that it knows.
CREATE TABLE IF NOT EXISTS "rowcast_revocation"(
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    user   TEXT NOT NULL,
    before INTEGER NOT NULL         -- Unix milliseconds
        DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))
);
CREATE INDEX IF NOT EXISTS "rowcast_revocation_by_user" ON "rowcast_revocation"(user, before);
-- A later revocation says all that an earlier one of the same user says, so one row a user is kept.
CREATE TRIGGER IF NOT EXISTS "rowcast_revocation_insert" AFTER INSERT ON "rowcast_revocation"
BEGIN
    DELETE FROM "rowcast_push" WHERE user = NEW.user AND created_at <= NEW.before;
    DELETE FROM "rowcast_revocation"
    WHERE user = NEW.user AND before <= NEW.before AND id < NEW.id;
END;

-- rowcast:end

COMMIT;
