/* tail.c - `rowcast tail`: rows as events in the terminal, as a page would get them.
 *
 * One cursor, as everywhere: where it starts is the question of --since and --last, and each
 * turn reads from it to the tail of the table, page by page, each page written out before the
 * next one is read. Unlike a page it shows private rows too: who can read the file can see them
 * anyway. With -f it continues until it is interrupted or its output has no reader. */
#include "config.h"

#include "cmd/cmd.h"
#include "cmd/tail_loop.h"
#include "cmd/terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "event/filter.h"
#include "store/read_log.h"
#include "base/parse_number.h"
#include "event/sse.h"

#define TAIL_DEFAULT_LAST 10 /* as tail(1) */
#define TAIL_PAGE_ROWS 1000
#define TAIL_PAGE_BYTES 65536 /* enough for one write */

struct settings {
    struct cmd_database database;
    struct text_list channels;
    const char *since;
    int64_t last;
    bool follow;
    bool json;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(follow, "follow", OPTION_FLAG, .letter = 'f',
           .help = "continue with new rows as they come"),
    OPTION(channels, "channel", OPTION_LIST, .value_name = "GLOB",
           .help = "only channels that match; repeatable"),
    OPTION(since, "since", OPTION_TEXT, .value_name = "all|ID|AGE",
           .help = "start at the first row, after an id, or at an age (90s, 2h)"),
    OPTION(last, "last", OPTION_COUNT, .min = 1, .max = 1000000000, .value_name = "N",
           .help = "start with the newest N rows (without --since: 10)"),
    OPTION(json, "json", OPTION_FLAG, .help = "one JSON object a line"),
    {.name = NULL},
};

const struct command cmd_tail_command = {
    .name = "tail",
    .operands = "",
    .summary =
        "Prints rows as events, without --since or --last the newest ten. Private rows "
        "are shown too, expired ones are not.",
    .options = options,
};

enum turn {
    TURN_DONE,
    TURN_AGAIN /* locked: later */,
    TURN_QUIT /* the output has no reader */,
    TURN_FAILED
};

struct tail {
    const struct settings *settings;
    struct store_config config;
    struct store *store;
    struct patterns channels;
    enum format format;
    struct store_cursor cursor;
    enum turn turn; /* what the last one came to */
    int64_t now_ms;
    struct buf out;
    bool is_away; /* the database cannot be opened just now, and standard error says so */
    bool is_terminal;
    struct buf shown; /* what a terminal gets of it */
    struct error error;
};

/* --- output -------------------------------------------------------------------------- */

/* Writes the buffer out and empties it. */
static enum turn
flush(struct tail *tail)
{
    size_t done = 0;
    struct buf *out = &tail->out;

    if (tail->is_terminal) {
        buf_clear(&tail->shown);
        terminal_append(&tail->shown, buf_slice(out));
        out = &tail->shown;
    }
    if (tail->out.failed || out->failed) {
        error_set(&tail->error, "out of memory");
        return TURN_FAILED;
    }
    while (done < out->len && !tail_loop_interrupted()) {
        ssize_t len = write(STDOUT_FILENO, out->p + done, out->len - done);
        if (len >= 0) {
            done += (size_t)len;
        } else if (errno ==
                   EAGAIN) { /* a terminal that another program made non-blocking */
            struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
            poll(&output, 1, -1);
        } else if (errno == EPIPE) {
            return TURN_QUIT;
        } else if (errno != EINTR) {
            error_set(&tail->error, "cannot write: %s", strerror(errno));
            return TURN_FAILED;
        }
    }
    buf_clear(&tail->out);
    return TURN_DONE;
}

static bool
is_wanted(const struct tail *tail, const struct row *row)
{
    if (row->expires_at != 0 && row->expires_at <= tail->now_ms)
        return false;
    return tail->channels.count == 0 || patterns_match(&tail->channels, row->channel);
}

static enum store_step
print_row(void *arg, const struct row *row)
{
    struct tail *tail = arg;

    if (!is_wanted(tail, row))
        return STORE_MORE;
    sse_append_row(&tail->out, tail->format, row, tail->config.max_event_bytes);
    return tail->out.failed || tail->out.len >= TAIL_PAGE_BYTES ? STORE_STOP : STORE_MORE;
}

/* --- reading ------------------------------------------------------------------------- */

static enum turn
turn_of(enum store_result result)
{
    return result == STORE_OK ? TURN_DONE : result == STORE_BUSY ? TURN_AGAIN : TURN_FAILED;
}

/* Says what the reader has missed. */
static enum store_step
print_gap(void *arg, const struct gap *gap)
{
    struct tail *tail = arg;

    sse_append_gap(&tail->out, tail->format, gap);
    return STORE_MORE;
}

/* Everything that is there by now, a page at a time. While a page is written out rows may be
 * pruned: each page is a look of its own at what is missing. */
static enum turn
print_new(struct tail *tail)
{
    struct store_log log = {.range = {.up_to = ROW_ID_MAX,
                                      .max_rows = TAIL_PAGE_ROWS,
                                      .row = print_row,
                                      .arg = tail},
                            .gap = print_gap};

    while (!log.progress.complete && !tail_loop_interrupted()) {
        tail->now_ms = cmd_now_ms();
        enum store_result result =
            store_read_log(tail->store, &tail->cursor, &log, &tail->error);
        enum turn turn = flush(tail);
        if (turn != TURN_DONE)
            return turn;
        if (result != STORE_OK)
            return turn_of(result);
    }
    return TURN_DONE;
}

/* --- where to start ------------------------------------------------------------------ */

struct last {
    const struct tail *tail;
    int64_t wanted;
};

static enum store_step
count_row(void *arg, const struct row *row)
{
    struct last *last = arg;

    if (is_wanted(last->tail, row))
        last->wanted--;
    return last->wanted > 0 ? STORE_MORE : STORE_STOP;
}

/* The cursor before the newest `wanted` rows. */
static enum store_result
start_at_last(struct tail *tail, const struct store_marks *marks, int64_t wanted)
{
    struct last last = {.tail = tail, .wanted = wanted};
    struct store_progress progress = {.last = marks->tail + 1};
    enum store_result result = STORE_OK;

    while (result == STORE_OK && !progress.complete && last.wanted > 0) {
        struct store_range range = {.after = marks->lowest - 1,
                                    .up_to = progress.last - 1,
                                    .max_rows = TAIL_PAGE_ROWS,
                                    .row = count_row,
                                    .arg = &last};
        result = store_read_back(tail->store, &range, &progress, &tail->error);
    }
    tail->cursor = store_cursor_at(marks, progress.last - 1);
    return result;
}

/* Sets the cursor from --since and --last. */
static enum store_result
find_start(struct tail *tail)
{
    const struct settings *settings = tail->settings;
    struct store_marks marks;
    int64_t age_ms;

    enum store_result result = store_read_marks(tail->store, &marks, &tail->error);
    if (result != STORE_OK)
        return result;
    tail->now_ms = cmd_now_ms();
    if (settings->since == NULL)
        return start_at_last(tail, &marks,
                             settings->last > 0 ? settings->last : TAIL_DEFAULT_LAST);
    if (strcmp(settings->since, "all") == 0) {
        tail->cursor = store_cursor_at(&marks, marks.lowest - 1);
        return STORE_OK;
    }
    if (parse_id(settings->since, &tail->cursor.id) == 0)
        return STORE_OK;
    if (parse_age(settings->since, &age_ms) != 0)
        age_ms = 0; /* cmd_tail has checked it */
    struct store_time time = {.created_at_ms = tail->now_ms - age_ms,
                              .now_ms = tail->now_ms};
    int64_t id = marks.tail;
    result = store_find_time(tail->store, &time, &id, &tail->error);
    tail->cursor = store_cursor_at(&marks, id);
    return result;
}

/* --- following ----------------------------------------------------------------------- */

/* Says on standard error that no rows can come now, and that they come again. */
static void
set_away(struct tail *tail, bool is_away)
{
    if (tail->is_away == is_away)
        return;
    tail->is_away = is_away;
    if (is_away)
        fprintf(stderr, "rowcast tail: %s; waits until it can be opened\n",
                tail->error.text);
    else
        fprintf(stderr, "rowcast tail: %s is open again\n", tail->config.path);
}

/* Opens the file that is now at the path. The old one is closed before: SQLite would give the new
 * connection the index that it has of the old one's (store/store.h, store_has_moved). */
static bool
reopen(struct tail *tail)
{
    store_close(tail->store);
    tail->store = store_open(&tail->config, NULL, &tail->error);
    set_away(tail, tail->store == NULL);
    return tail->store != NULL;
}

static enum tail_loop_step
look(void *arg, enum watch_reason reason)
{
    struct tail *tail = arg;
    bool changed;

    bool has_moved =
        tail->store == NULL || (reason == WATCH_FILES && store_has_moved(tail->store));
    if (has_moved && !reopen(tail))
        return TAIL_LOOP_NOTHING; /* the file is away */
    enum turn asked = turn_of(store_changed(tail->store, &changed, &tail->error));
    if (asked == TURN_FAILED)
        tail->turn = TURN_FAILED;
    else if (asked == TURN_AGAIN || (!changed && tail->turn == TURN_DONE))
        return TAIL_LOOP_NOTHING;
    else
        tail->turn = print_new(tail);
    if (tail->turn == TURN_QUIT || tail->turn == TURN_FAILED)
        return TAIL_LOOP_STOP;
    return tail->turn == TURN_DONE ? TAIL_LOOP_FOUND : TAIL_LOOP_NOTHING;
}

static enum turn
run(struct tail *tail)
{
    tail->turn = turn_of(find_start(tail));
    if (tail->turn == TURN_DONE)
        tail->turn = print_new(tail);
    if (tail->settings->follow && tail->turn == TURN_DONE &&
        tail_loop_run(tail->config.path, look, tail, &tail->error) != 0)
        return TURN_FAILED;
    return tail->turn;
}

/* --- the subcommand ------------------------------------------------------------------ */

static int
check_settings(const struct settings *settings, struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];
    int64_t value;

    if (settings->since == NULL)
        return 0;
    if (settings->last > 0)
        return error_set(error, "--since and --last exclude each other");
    if (strcmp(settings->since, "all") != 0 && parse_id(settings->since, &value) != 0 &&
        parse_age(settings->since, &value) != 0)
        return error_set(error,
                         "--since %s: give all, an id, or an age such as 90s, 10m, 2h, 7d",
                         parse_quote(quoted, settings->since));
    return 0;
}

static int
tail_table(struct tail *tail)
{
    const struct settings *settings = tail->settings;

    tail->format = settings->json ? FORMAT_NDJSON : FORMAT_SSE;
    tail->config = (struct store_config){.path = settings->database.db,
                                         .table = settings->database.table,
                                         .mode = STORE_READ,
                                         .busy_ms = CMD_BUSY_MS};
    tail->store = store_open(&tail->config, NULL, &tail->error);
    if (tail->store == NULL)
        return cmd_fail(cmd_tail_command.name, &tail->error);
    tail_loop_catch_signals(); /* the database is closed in order */
    enum turn turn = run(tail);
    store_close(tail->store);
    buf_fini(&tail->out);
    buf_fini(&tail->shown);
    if (turn != TURN_FAILED && !(turn == TURN_AGAIN && !settings->follow))
        return CMD_OK;
    return cmd_fail(cmd_tail_command.name, &tail->error);
}

int
cmd_tail(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct tail tail = {.settings = &settings, .is_terminal = isatty(STDOUT_FILENO) == 1};

    int code = cmd_parse(&cmd_tail_command, argv, &settings.database, operands);
    if (code == CMD_READY) {
        bool is_good = check_settings(&settings, &tail.error) == 0 &&
                       cmd_take_patterns(&tail.channels, &settings.channels, "channel",
                                         &tail.error) == 0;
        code = is_good ? tail_table(&tail) : cmd_usage(cmd_tail_command.name, &tail.error);
    }
    patterns_fini(&tail.channels);
    options_free(&cmd_tail_command, &settings);
    return code;
}
