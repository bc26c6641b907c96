/* send.c - `rowcast send`: inserts a row and prints its id, or each line of stdin as a row.
 *
 * With --lines, stdin is read while there is something to read, up to a batch, and only then
 * is the write lock taken: it is never held while waiting for input, and what `tail -F | rowcast
 * send --lines` reads is committed as soon as the input pauses. A batch is one transaction, so
 * after a failure the lines up to some batch are in the table whole, and no other one is. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/parse_number.h"
#include "event/glob.h"

#define SEND_BATCH_LINES 500
#define SEND_CHUNK_BYTES 65536
#define SEND_MAX_BYTES 1000000000 /* in one row: SQLite's own limit */

struct settings {
    struct cmd_database database;
    const char *channel;
    const char *event;
    const char *to;
    const char *recipient; /* the column's own name for the same */
    const char *collapse_key;
    int64_t ttl_ms;
    bool lines;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(channel, "channel", OPTION_TEXT, .fallback = "default", .value_name = "NAME",
           .help = "the channel that pages subscribe to"),
    OPTION(event, "event", OPTION_TEXT, .value_name = "TYPE",
           .help = "the event's type; without it a page's onmessage gets it"),
    OPTION(to, "to", OPTION_TEXT, .value_name = "USER",
           .help = "for this user only, not for everyone on the channel"),
    OPTION(recipient, "recipient", OPTION_TEXT, .value_name = "USER",
           .help = "the same as --to"),
    OPTION(collapse_key, "collapse-key", OPTION_TEXT, .value_name = "KEY",
           .help = "replaces an undelivered row of the same channel, user and key"),
    OPTION(ttl_ms, "ttl", OPTION_AGE, .min = 1000, .max = INT64_C(3153600000000),
           .value_name = "AGE",
           .help = "no longer delivered after that time: 90s, 10m, 2h, 7d"),
    OPTION(lines, "lines", OPTION_FLAG,
           .help = "each line of stdin is a row; prints the last id at the end"),
    {.name = NULL},
};

const struct command cmd_send_command = {
    .name = "send",
    .operands = "[DATA | -]",
    .summary =
        "Inserts a row with DATA and prints its id. - reads the data from stdin, all of "
        "it, without one line end at its end.",
    .options = options,
    .max_operands = 1,
};

static enum store_result
insert(struct store *store, const struct settings *settings, struct slice data, int64_t *id,
       struct error *error)
{
    struct row row = {
        .channel = slice_of(settings->channel),
        .event = slice_of(settings->event),
        .recipient = slice_of(settings->to),
        .collapse_key = slice_of(settings->collapse_key),
        .data = data,
        .expires_at = settings->ttl_ms > 0 ? cmd_now_ms() + settings->ttl_ms : 0,
    };

    return store_insert(store, &row, id, error);
}

/* --- stdin --------------------------------------------------------------------------- */

/* Appends what is there, waiting for at least a byte. Returns the number of bytes, 0 at the end,
 * -1 with *error. */
static ssize_t
read_chunk(struct buf *buf, struct error *error)
{
    char *to = buf_reserve(buf, SEND_CHUNK_BYTES);
    ssize_t len;

    if (to == NULL)
        return error_set(error, "out of memory while reading stdin");
    do
        len = read(STDIN_FILENO, to, SEND_CHUNK_BYTES);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return error_set(error, "cannot read stdin: %s", strerror(errno));
    buf->len += (size_t)len;
    return len;
}

static int
read_all(struct buf *buf, struct error *error)
{
    ssize_t len;

    while ((len = read_chunk(buf, error)) > 0) {
        if (buf->len > SEND_MAX_BYTES)
            return error_set(error, "stdin is larger than a row may be (1 GB)");
    }
    /* What `echo text |` and an editor's file have at their end is not part of the text. */
    if (len == 0 && buf->len > 0 && buf->p[buf->len - 1] == '\n')
        buf->len--;
    return (int)len;
}

static bool
input_waits(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&input, 1, 0) > 0;
}

/* --- lines --------------------------------------------------------------------------- */

struct lines {
    struct buf buf;
    size_t count; /* complete lines in buf */
    bool ended;   /* the end of stdin was read; what is left is a line too */
    int64_t sent;
    int64_t last_id;
};

static int
read_lines_once(struct lines *lines, struct error *error)
{
    size_t seen = lines->buf.len;
    ssize_t len = read_chunk(&lines->buf, error);

    if (len < 0)
        return -1;
    lines->ended = len == 0;
    for (size_t i = seen; i < lines->buf.len; i++)
        lines->count += lines->buf.p[i] == '\n' ? 1 : 0;
    if (lines->count == 0 && lines->buf.len > SEND_MAX_BYTES)
        return error_set(error, "a line is larger than a row may be (1 GB)");
    return 0;
}

static int
read_lines(struct lines *lines, struct error *error)
{
    do {
        if (read_lines_once(lines, error) != 0)
            return -1;
    } while (!lines->ended && lines->count < SEND_BATCH_LINES && input_waits());
    return 0;
}

/* The next line from `at` on; false when there is no complete one. Moves *at behind it. */
static bool
next_line(const struct lines *lines, size_t *at, struct slice *line)
{
    struct slice rest = {lines->buf.p + *at, lines->buf.len - *at};
    const char *end = rest.len == 0 ? NULL : memchr(rest.p, '\n', rest.len);

    if (end == NULL && (!lines->ended || rest.len == 0))
        return false;
    *line = (struct slice){rest.p, end != NULL ? (size_t)(end - rest.p) : rest.len};
    *at += line->len + (end != NULL ? 1 : 0);
    return true;
}

/* Up to a batch of lines from *at on, in one transaction. */
static enum store_result
send_batch(struct store *store, const struct settings *settings, struct lines *lines,
           size_t *at, struct error *error)
{
    struct slice line;
    size_t end = *at;
    int64_t count = 0;
    int64_t id = 0;
    enum store_result result = store_begin_write(store, error);

    while (result == STORE_OK && count < SEND_BATCH_LINES &&
           next_line(lines, &end, &line)) {
        result = insert(store, settings, line, &id, error);
        count++;
    }
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result != STORE_OK) {
        store_rollback(store);
        return result;
    }
    lines->sent += count;
    lines->last_id = id;
    *at = end;
    return STORE_OK;
}

/* All lines that are complete. */
static enum store_result
send_pending(struct store *store, const struct settings *settings, struct lines *lines,
             struct error *error)
{
    enum store_result result = STORE_OK;
    struct slice line;
    size_t at = 0;

    for (;;) {
        size_t peek = at;
        if (!next_line(lines, &peek, &line))
            break;
        result = send_batch(store, settings, lines, &at, error);
        if (result != STORE_OK)
            return result;
    }
    lines->buf.len -= at;
    lines->count = 0;
    if (lines->buf.len > 0)
        memmove(lines->buf.p, lines->buf.p + at, lines->buf.len);
    return result;
}

static int
send_lines(struct store *store, const struct settings *settings)
{
    struct lines lines = {0};
    struct error error;
    bool good = true;

    while (good && !lines.ended)
        good = read_lines(&lines, &error) == 0 &&
               send_pending(store, settings, &lines, &error) == STORE_OK;
    buf_fini(&lines.buf);
    if (good)
        return lines.sent > 0 ? cmd_print_number(cmd_send_command.name, lines.last_id)
                              : CMD_OK;

    struct error with_count;
    error_set(&with_count, "%s; the first %" PRId64 " lines are sent", error.text,
              lines.sent);
    return cmd_fail(cmd_send_command.name, &with_count);
}

/* --- one row ------------------------------------------------------------------------- */

static int
send_data(struct store *store, const struct settings *settings, struct slice data)
{
    struct error error;
    int64_t id;

    if (insert(store, settings, data, &id, &error) != STORE_OK)
        return cmd_fail(cmd_send_command.name, &error);
    return cmd_print_number(cmd_send_command.name, id);
}

static int
send_stdin(struct store *store, const struct settings *settings)
{
    struct buf buf = {0};
    struct error error;
    int code;

    if (read_all(&buf, &error) == 0)
        code = send_data(store, settings, buf_slice(&buf));
    else
        code = cmd_fail(cmd_send_command.name, &error);
    buf_fini(&buf);
    return code;
}

static int
take_recipient(struct settings *settings, struct error *error)
{
    if (settings->recipient == NULL)
        return 0;
    if (settings->to != NULL && strcmp(settings->to, settings->recipient) != 0)
        return error_set(error, "--to and --recipient are the same, and name two users");
    settings->to = settings->recipient;
    return 0;
}

static int
check_channel(const char *channel, struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];

    if (glob_can_name(slice_of(channel)))
        return 0;
    return error_set(
        error,
        "--channel: %s holds a blank, *, ? or [, so that no bound could name it "
        "alone",
        parse_quote(quoted, channel));
}

int
cmd_send(char **argv)
{
    struct settings settings = {0};
    const char *operands[2];
    struct error error;

    int code = cmd_parse(&cmd_send_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    if (take_recipient(&settings, &error) != 0 ||
        check_channel(settings.channel, &error) != 0)
        return cmd_usage(cmd_send_command.name, &error);
    const char *data = operands[0];
    if (data == NULL && !settings.lines) {
        error_set(&error, "DATA is missing: give it, or - to read it from stdin");
        return cmd_usage(cmd_send_command.name, &error);
    }
    if (settings.lines && data != NULL && strcmp(data, "-") != 0) {
        error_set(&error, "--lines reads from stdin and takes no DATA");
        return cmd_usage(cmd_send_command.name, &error);
    }

    struct store_config config = {.path = settings.database.db,
                                  .table = settings.database.table,
                                  .mode = STORE_WRITE,
                                  .busy_ms = CMD_BUSY_MS};
    struct store *store = store_open(&config, NULL, &error);
    if (store == NULL)
        return cmd_fail(cmd_send_command.name, &error);
    if (settings.lines)
        code = send_lines(store, &settings);
    else if (strcmp(data, "-") == 0)
        code = send_stdin(store, &settings);
    else
        code = send_data(store, &settings, slice_of(data));
    store_close(store);
    return code;
}
