-- sensor-limit.sql: measurements arrive all the time; notify a page when one crosses a limit.
--
--     rowcast init --db plant.db
--     sqlite3 plant.db < sql/examples/sensor-limit.sql
--     sqlite3 plant.db "INSERT INTO readings(sensor, value) VALUES ('boiler', 91.5)"
--
-- A dashboard listens to alarms and to the newest value of each sensor:
--     const source = new EventSource('/events?channel=alarms&channel=sensors.*&throttle=1000')
--     source.addEventListener('limit', ring)
--     source.addEventListener('value', draw)
--
-- The newest value has a collapse_key, so a slow or throttled page skips values that are out of
-- date, and expires_at, so rowcast delivers none after a minute. An alarm has neither.

CREATE TABLE IF NOT EXISTS sensors(
    name      TEXT PRIMARY KEY,
    max_value REAL NOT NULL,
    is_above  INTEGER NOT NULL DEFAULT 0 -- whether the last reading was above max_value
);
CREATE TABLE IF NOT EXISTS readings(
    id     INTEGER PRIMARY KEY,
    sensor TEXT NOT NULL REFERENCES sensors(name),
    value  REAL NOT NULL
);

CREATE TRIGGER IF NOT EXISTS readings_notify AFTER INSERT ON readings
BEGIN
    INSERT INTO notification(channel, event, data, collapse_key, expires_at)
    VALUES ('sensors.' || NEW.sensor, 'value',
            json_object('sensor', NEW.sensor, 'value', NEW.value), NEW.sensor,
            (CAST(strftime('%s', 'now') AS INTEGER) + 60) * 1000);
    UPDATE sensors SET is_above = NEW.value > max_value WHERE name = NEW.sensor;
END;

-- Only a crossing makes a row, in either direction, not every reading beyond the limit.
CREATE TRIGGER IF NOT EXISTS sensors_limit_notify AFTER UPDATE OF is_above ON sensors
WHEN NEW.is_above IS NOT OLD.is_above
BEGIN
    INSERT INTO notification(channel, event, data)
    VALUES ('alarms', 'limit',
            json_object('sensor', NEW.name, 'max', NEW.max_value,
                        'state', CASE WHEN NEW.is_above THEN 'above' ELSE 'normal' END));
END;

INSERT OR IGNORE INTO sensors(name, max_value) VALUES ('boiler', 90);
