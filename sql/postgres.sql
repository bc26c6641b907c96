-- rowcast's schema for PostgreSQL 15 or later, version 1: the log of a site of many machines.
--
--     rowcast follow --init postgresql://db/app           applies it
--     rowcast follow --init postgresql://db/app --print   prints it, for a migration of your own
--     psql -f sql/postgres.sql app                         the same by hand
--
-- It is one transaction, and running it again changes nothing. It makes its objects in the first
-- schema of the search path. For another table name (`--table NAME`) rowcast replaces the word
-- notification, wherever a run of [A-Za-z0-9_] is that word or begins with it and an underscore.
--
-- A program inserts channel, recipient, event, collapse_key, expires_at and data as in SQLite. What
-- is different: the id is given at COMMIT. Until then the row has a negative one, which no other
-- transaction ever sees, and which RETURNING id gives.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL standard_conforming_strings = on;

-- Functions keep this search path, so that no caller's can lead them to other tables.
DO $$ BEGIN
    IF current_setting('server_version_num')::int < 150000 THEN
        RAISE EXCEPTION 'rowcast: PostgreSQL % is too old: 15 or later is needed',
            current_setting('server_version');
    END IF;
    IF current_schema() IS NULL THEN
        RAISE EXCEPTION 'rowcast: the search path has no schema: set one that exists';
    END IF;
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
END $$;

-- What rowcast remembers of each of its tables. base and low_water are as in SQLite.
CREATE TABLE IF NOT EXISTS "rowcast_meta"(
    table_name     text PRIMARY KEY,
    schema_version integer NOT NULL,
    base           bigint NOT NULL,  -- ids up to it belong to no row, or to another life of the table
    low_water      bigint NOT NULL,  -- the highest id ever deleted; at first the base
    deletions      bigint NOT NULL DEFAULT 0, -- statements that have deleted something
    origin         uuid NOT NULL DEFAULT gen_random_uuid() -- identifies this log
);

DO $$ BEGIN
    IF (SELECT schema_version FROM "rowcast_meta" WHERE table_name = 'notification') > 1 THEN
        RAISE EXCEPTION 'rowcast: table notification was made by a newer rowcast: upgrade rowcast';
    END IF;
    IF to_regclass('"notification"') IS NOT NULL
        AND NOT EXISTS (SELECT FROM "rowcast_meta" WHERE table_name = 'notification') THEN
        RAISE EXCEPTION
            'rowcast: there is a table notification that rowcast did not make: choose another name with --table';
    END IF;
END $$;

-- The ids. They start at the Unix time in ms, so that a database that was deleted and made again never
-- gives an old id a new meaning. CACHE 1, or the numbers would not come in order.
CREATE SEQUENCE IF NOT EXISTS "notification_id" AS bigint MINVALUE 1 MAXVALUE 9007199254740991 CACHE 1;
-- The negative ids of rows that are not committed yet.
CREATE SEQUENCE IF NOT EXISTS "notification_draft" AS bigint
    MINVALUE -9007199254740991 MAXVALUE -1 START WITH -9007199254740991 CACHE 1;
-- The timeline of the server when it last gave an id; see notification_number.
CREATE SEQUENCE IF NOT EXISTS "notification_timeline" AS bigint;

DO $$
DECLARE
    now_ms bigint := extract(epoch FROM clock_timestamp()) * 1000;
    last bigint := (SELECT last_value FROM "notification_id");
BEGIN
    IF EXISTS (SELECT FROM "rowcast_meta" WHERE table_name = 'notification') THEN
        RETURN;
    END IF;
    PERFORM setval('"notification_id"', greatest(now_ms, last));
    PERFORM setval('"notification_timeline"',
        ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint);
    INSERT INTO "rowcast_meta"(table_name, schema_version, base, low_water)
    VALUES ('notification', 1, greatest(now_ms, last), greatest(now_ms, last));
END $$;

-- The names of the constraints are what a program gets to read when it breaks one.
CREATE TABLE IF NOT EXISTS "notification"(
    -- the event id; only grows, is never given twice. Leave it out.
    id bigint PRIMARY KEY DEFAULT nextval('"notification_draft"')
        CONSTRAINT "rowcast: id must be at most 9007199254740991"
            CHECK (id <= 9007199254740991),
    -- what a page subscribes to
    channel text NOT NULL DEFAULT 'default'
        CONSTRAINT "rowcast: channel must not be empty, nor contain CR or LF"
            CHECK (channel <> '' AND strpos(channel, chr(10)) = 0 AND strpos(channel, chr(13)) = 0),
    -- NULL: everyone who may read the channel; else only this user
    recipient text,
    -- the type that a page listens for; NULL: the unnamed "message"
    event text
        CONSTRAINT "rowcast: event must be NULL or not empty, without CR and LF"
            CHECK (event <> '' AND strpos(event, chr(10)) = 0 AND strpos(event, chr(13)) = 0)
        CONSTRAINT "rowcast: event must not be open or error, nor begin rowcast:"
            CHECK (event NOT IN ('open', 'error')
                   AND (event = 'rowcast:read' OR NOT starts_with(event, 'rowcast:'))),
    -- a newer row with the same channel, recipient and key replaces an undelivered older one
    collapse_key text,
    -- Unix milliseconds
    created_at bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    -- Unix milliseconds; NULL: never; past: not delivered
    expires_at bigint,
    data text NOT NULL
);

CREATE INDEX IF NOT EXISTS "notification_by_expires_at" ON "notification"(expires_at)
    WHERE expires_at IS NOT NULL;

-- A row for each statement that has deleted rows: they were in this range. Followers delete what they
-- have in it and what is no longer here. The newest 10,000 are kept; who comes later compares all.
CREATE TABLE IF NOT EXISTS "notification_deletion"(
    number  bigint PRIMARY KEY,
    lowest  bigint NOT NULL,
    highest bigint NOT NULL,
    -- a promoted standby that lacked this one gives its number again, with another mark
    mark    bigint NOT NULL DEFAULT (random() * 9007199254740991)::bigint
);

-- The key of the lock under which ids are given, until the transaction is committed. So ids become
-- visible in their order, and a reader of "all ids after N" misses none. (To give it back before the
-- row is on the disk would gain nothing: NOTIFY holds a lock of PostgreSQL's own for as long.)
CREATE OR REPLACE FUNCTION "notification_lock_key"() RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN (x'726f7763'::bigint << 32) | to_regclass('"notification"')::oid::bigint;
END $$;

-- Ids that a lost server may have given are not given again. A standby that was promoted, or a backup
-- that was restored to a moment, has a new timeline: it may lack the last commits, and its sequence
-- may be behind. So ids go on at the Unix time in ms, or a million further on. Under the lock.
CREATE OR REPLACE FUNCTION "notification_timeline_is_new"() RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN (SELECT last_value FROM "notification_timeline")
        <> ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint;
END $$;

CREATE OR REPLACE FUNCTION "notification_check_timeline"() RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF "notification_timeline_is_new"() THEN
        PERFORM setval('"notification_id"', greatest(
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
            (SELECT last_value FROM "notification_id") + 1000000));
        PERFORM setval('"notification_timeline"',
            ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint);
    END IF;
END $$;

-- Gives these rows the next ids of the sequence, in the order of their drafts: it goes through the
-- primary key. The plan may only be that one, and is made once in a session: one that was made while
-- the table was small would read it all at every commit. Without sequential scans a look at a sequence
-- seems to cost so much that it would be compiled (jit), for a second, in each session.
CREATE OR REPLACE FUNCTION "notification_give_ids"(sequence regclass, drafts bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off AS $$
BEGIN
    UPDATE "notification" SET id = nextval(sequence) WHERE id = ANY(drafts);
END $$;

-- Before the lock. In a session's first commit the last row gets another draft, which is the last one
-- again: so the plan is made and the caches are full, which takes some 20 times as long as giving an
-- id. Later on only a plan that has become invalid is made again. Returns the drafts as they are then.
CREATE OR REPLACE FUNCTION "notification_rehearse"(drafts bigint[], is_first boolean) RETURNS bigint[]
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    count integer := cardinality(drafts);
BEGIN
    IF is_first THEN
        PERFORM "notification_give_ids"('"notification_draft"', drafts[count:count]);
        drafts[count] := currval('"notification_draft"');
    ELSE
        PERFORM "notification_give_ids"('"notification_id"', '{}');
    END IF;
    RETURN drafts;
END $$;

-- Called at COMMIT, or at SET CONSTRAINTS IMMEDIATE, for the first row that a transaction has inserted:
-- it numbers them all, in the order in which they were inserted. A row that was deleted meanwhile, or
-- whose savepoint was rolled back, gets no id. All other commits wait while the lock is held, so
-- whatever can be done before it is.
CREATE OR REPLACE FUNCTION "notification_number"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off AS $$
DECLARE
    lock bigint := "notification_lock_key"();
    last bigint := currval('"notification_draft"'); -- this session's last one
    is_first boolean := coalesce(current_setting('rowcast.notification_session', true), '') = '';
    timeline_is_new boolean := false;
    drafts bigint[];
BEGIN
    PERFORM set_config('rowcast.notification_waits', '', true); -- a later row calls again
    drafts := ARRAY(SELECT id FROM "notification" WHERE id BETWEEN NEW.id AND last ORDER BY id);
    IF cardinality(drafts) = 0 THEN
        RETURN NULL;
    END IF;
    IF is_first THEN -- a server's timeline changes only while no program can write
        timeline_is_new := "notification_timeline_is_new"();
        PERFORM set_config('rowcast.notification_session', 'known', false);
    END IF;
    -- Followers may have the row before it is on the disk, and a crash would take it and its id back.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
    drafts := "notification_rehearse"(drafts, is_first);
    PERFORM pg_advisory_xact_lock(lock);
    IF timeline_is_new THEN
        PERFORM "notification_check_timeline"();
    END IF;
    PERFORM "notification_give_ids"('"notification_id"', drafts);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION "notification_refuse_id"() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'rowcast: leave the id out: it is given at COMMIT';
    END IF;
    RAISE EXCEPTION 'rowcast: the id of a row must not change: insert a new row';
END $$;

CREATE OR REPLACE FUNCTION "notification_wake"() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NOTIFY "notification_rows";
    RETURN NULL;
END $$;

-- Whatever program deletes: followers delete too, and a reader that was away learns that rows are
-- gone. The row in rowcast_meta is locked until COMMIT, so that deletions are numbered in their order.
CREATE OR REPLACE FUNCTION "notification_note_deletion"(lowest bigint, highest bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    deletion bigint;
BEGIN
    UPDATE "rowcast_meta" SET low_water = greatest(low_water, highest), deletions = deletions + 1
    WHERE table_name = 'notification' RETURNING deletions INTO deletion;
    INSERT INTO "notification_deletion"(number, lowest, highest) VALUES (deletion, lowest, highest);
    DELETE FROM "notification_deletion" WHERE number <= deletion - 10000;
    NOTIFY "notification_rows";
END $$;

CREATE OR REPLACE FUNCTION "notification_low_water"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    first bigint;
    last bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM "notification_note_deletion"(0, (SELECT last_value FROM "notification_id"));
        RETURN NULL;
    END IF;
    SELECT min(id), max(id) INTO first, last FROM gone WHERE id > 0;
    IF last IS NOT NULL THEN
        PERFORM "notification_note_deletion"(first, last);
    END IF;
    RETURN NULL;
END $$;

-- Deletes one batch of old rows, the oldest first, and returns how many they were: repeat while that
-- is as many as max_rows. keep_age: older rows go. keep_rows: of more rows the oldest go. What has
-- expired goes from the lowest id up. Two that run at the same time do not wait for each other.
CREATE OR REPLACE FUNCTION "notification_prune"(keep_age interval DEFAULT NULL,
    keep_rows bigint DEFAULT NULL, max_rows integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off AS $$
DECLARE
    now_ms bigint := extract(epoch FROM clock_timestamp()) * 1000;
    oldest_ms bigint := now_ms - (extract(epoch FROM keep_age) * 1000)::bigint;
    count_cut bigint;
    age_cut bigint := 0;
    row record;
    deleted bigint;
BEGIN
    IF max_rows < 1 OR keep_rows < 1 OR keep_age < interval '0' THEN
        RAISE EXCEPTION 'rowcast: keep_age, keep_rows and max_rows must be positive';
    END IF;
    IF NOT pg_try_advisory_xact_lock((x'70727565'::bigint << 32)
        | to_regclass('"notification"')::oid::bigint) THEN
        RETURN 0;
    END IF;
    FOR row IN SELECT id, created_at, expires_at FROM "notification" WHERE id > 0
               ORDER BY id LIMIT max_rows LOOP
        EXIT WHEN NOT coalesce(row.created_at < oldest_ms, false)
            AND NOT coalesce(row.expires_at > 0 AND row.expires_at < now_ms - 60000, false);
        age_cut := row.id;
    END LOOP;
    IF keep_rows IS NOT NULL THEN
        SELECT id INTO count_cut FROM "notification" WHERE id > 0
        ORDER BY id DESC OFFSET keep_rows LIMIT 1;
    END IF;
    WITH old AS (SELECT id FROM "notification"
                 WHERE id > 0 AND id <= greatest(age_cut, count_cut) ORDER BY id LIMIT max_rows)
    DELETE FROM "notification" AS n USING old WHERE n.id = old.id;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;

-- Followers have seen ids up to this one: the next are higher. Returns the last id that is used up.
CREATE OR REPLACE FUNCTION "notification_skip"(above bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF above > 9007199254740991 - (1::bigint << 40) THEN
        RAISE EXCEPTION 'rowcast: above % hardly an id is left', above;
    END IF;
    PERFORM pg_advisory_xact_lock("notification_lock_key"());
    PERFORM "notification_check_timeline"();
    IF above > (SELECT last_value FROM "notification_id") THEN
        PERFORM setval('"notification_id"', above);
    END IF;
    RETURN (SELECT last_value FROM "notification_id");
END $$;

-- Rows up to `above` that followers have are not here any more: as `rowcast rebase` in SQLite it moves
-- the base past every id, and every reader gets a reset. Once for all followers. Returns the base.
CREATE OR REPLACE FUNCTION "notification_rebase"(above bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    last bigint := "notification_skip"(above);
BEGIN
    IF above < (SELECT base FROM "rowcast_meta" WHERE table_name = 'notification') THEN
        RETURN (SELECT base FROM "rowcast_meta" WHERE table_name = 'notification');
    END IF;
    last := greatest(last, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) + 1;
    PERFORM setval('"notification_id"', last);
    UPDATE "rowcast_meta" SET base = last WHERE table_name = 'notification';
    NOTIFY "notification_rows";
    RETURN last;
END $$;

-- Made again each time, so that one that was disabled or dropped is whole again.
DROP TRIGGER IF EXISTS "notification_insert" ON "notification";
CREATE TRIGGER "notification_insert" BEFORE INSERT ON "notification" FOR EACH ROW
    WHEN (NEW.id IS NULL OR NEW.id >= 0) EXECUTE FUNCTION "notification_refuse_id"();
-- The only id that changes is a draft's, in the trigger that numbers it.
DROP TRIGGER IF EXISTS "notification_update" ON "notification";
CREATE TRIGGER "notification_update" BEFORE UPDATE OF id ON "notification" FOR EACH ROW
    WHEN (NEW.id IS DISTINCT FROM OLD.id AND (OLD.id > 0 OR pg_trigger_depth() = 0))
    EXECUTE FUNCTION "notification_refuse_id"();
-- One call for a transaction, not one for each row, which would be made under the lock: the condition is
-- judged at the INSERT. A savepoint that is rolled back takes the call and the setting back together.
DROP TRIGGER IF EXISTS "notification_number" ON "notification";
CREATE CONSTRAINT TRIGGER "notification_number" AFTER INSERT ON "notification"
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (CASE WHEN current_setting('rowcast.notification_waits', true) = 'yes' THEN false
               ELSE set_config('rowcast.notification_waits', 'yes', true) = 'yes' END)
    EXECUTE FUNCTION "notification_number"();
DROP TRIGGER IF EXISTS "notification_wake" ON "notification";
CREATE TRIGGER "notification_wake" AFTER INSERT ON "notification"
    FOR EACH STATEMENT EXECUTE FUNCTION "notification_wake"();
DROP TRIGGER IF EXISTS "notification_low_water" ON "notification";
CREATE TRIGGER "notification_low_water" AFTER DELETE ON "notification"
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION "notification_low_water"();
DROP TRIGGER IF EXISTS "notification_truncate" ON "notification";
CREATE TRIGGER "notification_truncate" BEFORE TRUNCATE ON "notification"
    FOR EACH STATEMENT EXECUTE FUNCTION "notification_low_water"();

-- Two roles with the least rights: GRANT rowcast_insert TO an application's user, and rowcast_follow
-- to the one with which `rowcast follow` connects. They belong to the whole server, not to the
-- database; where this user may not make them, grant the rights by hand.
DO $$
DECLARE
    role name;
BEGIN
    FOREACH role IN ARRAY ARRAY['rowcast_insert', 'rowcast_follow'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'rowcast: no right to create the role %: create it, and run this again', role;
        WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database's, at the same moment
        END;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION "notification_lock_key"(), "notification_timeline_is_new"(),
    "notification_check_timeline"(), "notification_give_ids"(regclass, bigint[]),
    "notification_rehearse"(bigint[], boolean), "notification_note_deletion"(bigint, bigint),
    "notification_prune"(interval, bigint, integer), "notification_skip"(bigint),
    "notification_rebase"(bigint) FROM PUBLIC;

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rowcast_insert') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO rowcast_insert', current_schema());
        GRANT INSERT (channel, recipient, event, collapse_key, created_at, expires_at, data)
            ON "notification" TO rowcast_insert;
        GRANT USAGE ON SEQUENCE "notification_draft" TO rowcast_insert;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rowcast_follow') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO rowcast_follow', current_schema());
        GRANT SELECT ON "notification", "notification_deletion", "rowcast_meta", "notification_id"
            TO rowcast_follow;
        GRANT EXECUTE ON FUNCTION "notification_prune"(interval, bigint, integer),
            "notification_skip"(bigint), "notification_rebase"(bigint) TO rowcast_follow;
    END IF;
END $$;

COMMIT;
