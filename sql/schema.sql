-- rowcast's schema, version 1: the one source of it.
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

-- The base is the Unix time in ms, so a database that was deleted and made anew never gives an
-- old id a new meaning. A table that was dropped has left its row here: go on above it.
INSERT INTO "rowcast_meta"(table_name, schema_version, base, low_water)
SELECT 'notification', 1, now, now
FROM (SELECT max(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER),
                 coalesce((SELECT max(base, low_water) FROM "rowcast_meta"
                           WHERE table_name = 'notification'), 0)) AS now)
WHERE NOT EXISTS (SELECT 1 FROM sqlite_master
                  WHERE name = 'notification' COLLATE NOCASE)
ON CONFLICT(table_name) DO UPDATE SET schema_version = excluded.schema_version,
    base = excluded.base, low_water = excluded.low_water;

-- The names of the constraints are what the writer of a bad row gets to read.
CREATE TABLE "notification"(
    -- the event id; only grows, is never given twice
    id INTEGER PRIMARY KEY AUTOINCREMENT
        CONSTRAINT "id must lie between 1 and 9007199254740991"
            CHECK (id BETWEEN 1 AND 9007199254740991),
    -- what a page subscribes to
    channel TEXT NOT NULL DEFAULT 'default'
        CONSTRAINT "channel must be text, not empty, without CR, LF and NUL"
            CHECK (typeof(channel) = 'text' AND channel <> '' AND instr(channel, char(10)) = 0
                   AND instr(channel, char(13)) = 0 AND instr(channel, char(0)) = 0),
    -- NULL: everyone who may read the channel; else only this user
    recipient TEXT
        CONSTRAINT "recipient must be text or NULL"
            CHECK (recipient IS NULL OR typeof(recipient) = 'text'),
    -- the type that a page listens for; NULL: the unnamed "message"
    event TEXT
        CONSTRAINT "event must be NULL or text, not empty, without CR, LF and NUL"
            CHECK (event IS NULL
                   OR (typeof(event) = 'text' AND event <> '' AND instr(event, char(10)) = 0
                       AND instr(event, char(13)) = 0 AND instr(event, char(0)) = 0))
        CONSTRAINT "event must not be open or error, nor begin with rowcast:"
            CHECK (event NOT IN ('open', 'error') AND substr(event, 1, 8) <> 'rowcast:'),
    data TEXT NOT NULL,
    -- a newer row with the same channel, recipient and key replaces an undelivered older one
    collapse_key TEXT,
    -- Unix milliseconds
    created_at INTEGER NOT NULL
        DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))
        CONSTRAINT "created_at must be a number: Unix milliseconds"
            CHECK (typeof(created_at) IN ('integer', 'real')),
    -- Unix milliseconds; NULL: never; past: not delivered
    expires_at INTEGER
        CONSTRAINT "expires_at must be NULL or a number: Unix milliseconds"
            CHECK (expires_at IS NULL OR typeof(expires_at) IN ('integer', 'real'))
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

-- INSERT OR IGNORE with such an id would pass over the CHECK and still leave it in the
-- sequence, which then could not grow any more. Only a trigger that runs before stops that.
CREATE TRIGGER "notification_id_limit" BEFORE INSERT ON "notification"
WHEN NEW.id > 9007199254740991
BEGIN
    SELECT RAISE(ABORT, 'rowcast: id must lie between 1 and 9007199254740991');
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

-- Without "OF id", which an UPDATE of rowid would pass by; an UPDATE that sets the id to what
-- it is (as object mappers do) is no harm.
CREATE TRIGGER "notification_id_fixed" BEFORE UPDATE ON "notification"
WHEN NEW.id IS NOT OLD.id
BEGIN
    SELECT RAISE(ABORT, 'rowcast: the id of a row must not change: insert a new row');
END;

-- Whoever deletes, by hand too: a reader that was away learns that rows are gone.
CREATE TRIGGER "notification_low_water" AFTER DELETE ON "notification"
BEGIN
    UPDATE "rowcast_meta" SET low_water = OLD.id
    WHERE table_name = 'notification' AND low_water < OLD.id;
END;

-- rowcast:end

COMMIT;
