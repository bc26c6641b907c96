-- new-comment.sql: show new comments under an article to all its readers.
--
--     rowcast init --db blog.db
--     sqlite3 blog.db < sql/examples/new-comment.sql
--     sqlite3 blog.db "INSERT INTO comments(article, author, body) VALUES (7, 'bob', 'First!')"
--
-- A channel for each article; the page of article 7 listens to its own:
--     new EventSource('/events?channel=article.7').addEventListener('comment', append)
-- and a moderator to all of them: /events?channel=article.*
--
-- No collapse_key: each comment counts, and a page that was away gets every comment that it missed.

CREATE TABLE IF NOT EXISTS comments(
    id      INTEGER PRIMARY KEY,
    article INTEGER NOT NULL,
    author  TEXT NOT NULL,
    body    TEXT NOT NULL,
    hidden  INTEGER NOT NULL DEFAULT 0
);

-- json_object quotes what the author wrote; the page must still treat it as text, not as HTML.
CREATE TRIGGER IF NOT EXISTS comments_new_notify AFTER INSERT ON comments
WHEN NOT NEW.hidden
BEGIN
    INSERT INTO notification(channel, event, data)
    VALUES ('article.' || NEW.article, 'comment',
            json_object('id', NEW.id, 'author', NEW.author, 'body', NEW.body));
END;

-- When a moderator hides a comment, open pages remove it too.
CREATE TRIGGER IF NOT EXISTS comments_hide_notify AFTER UPDATE OF hidden ON comments
WHEN NEW.hidden AND NOT OLD.hidden
BEGIN
    INSERT INTO notification(channel, event, data)
    VALUES ('article.' || NEW.article, 'comment-hidden', json_object('id', NEW.id));
END;
