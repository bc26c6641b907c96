/* log.c - formats lines and gives each to its sink (base/log_sink.h) with one call, so that
 * lines of several processes do not mix; counts lines that are lost; quotes values. */
#include "config.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(LOG_LINE_MAX == LOG_SINK_LINE_MAX, "base/log.h and base/log_sink.h agree");

#define ESCAPE_LEN 4 /* \x1f */

/* In place of a ticket. */
#define TICKET_HIDDEN "[ticket]"
#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define SIGNATURE_MIN 43 /* of 32 bytes, which is HS256's; others have more */

/* --- lines ------------------------------------------------------------------------------- */

int
log_parse_to(const char *text, enum log_sink *to)
{
    static const char *const names[] = {[LOG_SINK_STDERR] = "stderr",
                                        [LOG_SINK_SYSLOG] = "syslog",
                                        [LOG_SINK_JOURNAL] = "journal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *to = (enum log_sink)i;
            return 0;
        }
    *to = LOG_SINK_FILE;
    return text[0] == '/' ? 0 : -1;
}

void
log_init(struct log *log, enum log_level level)
{
    *log = (struct log){.level = level, .to = LOG_SINK_STDERR, .sock = -1};
    log_sink_out_init(&log->out, STDERR_FILENO);
    log->journal = log_sink_is_journal(log->out.fd);
}

static void
log_open_journal(struct log *log)
{
    if (log_sink_finds_journal())
        return;
    log->to = LOG_SINK_STDERR;
    log_line(log, LOG_WARN, "no journal is running: lines go to stderr");
}

int
log_open(struct log *log, const struct log_config *config, struct error *error)
{
    int result = 0;
    *log = (struct log){
        .level = config->level, .to = config->to, .sock = -1, .loss = config->loss};
    log_sink_read_zone();
    if (config->to == LOG_SINK_FILE)
        result = log_sink_out_open(&log->out, config->file, error);
    if (config->to != LOG_SINK_FILE || result != 0)
        log_sink_out_share(&log->out, STDERR_FILENO);
    log->journal = log_sink_is_journal(log->out.fd);
    /* A web server or service manager that reads a pipe or a socket adds the time itself. */
    log->has_times =
        log->out.kind == LOG_SINK_OUT_FILE || log->out.kind == LOG_SINK_OUT_TERMINAL;
    if (config->to == LOG_SINK_SYSLOG || config->to == LOG_SINK_JOURNAL)
        log->sock = log_sink_socket();
    if (config->to == LOG_SINK_JOURNAL)
        log_open_journal(log);
    return result;
}

void
log_close(struct log *log)
{
    log_sink_out_fini(&log->out);
    if (log->sock >= 0)
        close(log->sock);
    log->sock = -1;
}

int
log_reopen(const struct log *log, struct error *error)
{
    return log_sink_out_follow(&log->out, error);
}

/* Replaces the last bytes of a line that was cut at len with dots. An escape that would be cut in
 * two goes too. Returns the new length. */
static size_t
line_end_cut(char *line, size_t len)
{
    static const char dots[] = "...";
    size_t most = len - strlen(dots);
    size_t at = 0;
    for (;;) {
        size_t step = line[at] != '\\' ? 1 : line[at + 1] == 'x' ? ESCAPE_LEN : 2;
        if (at + step > most)
            break;
        at += step;
    }
    memcpy(line + at, dots, sizeof dots);
    return at + strlen(dots);
}

/* Appends at len and leaves room for a line end. Returns the new length. */
static size_t
line_format(char line[LOG_LINE_MAX], size_t len, const char *format, va_list args)
{
    size_t most = LOG_LINE_MAX - 2;
    int more = vsnprintf(line + len, most + 1 - len, format, args);
    if (more < 0)
        return len;
    return (size_t)more > most - len ? line_end_cut(line, most) : len + (size_t)more;
}

/* RFC 3339, in local time, as in the logs of other programs; "" when there is no local time. */
static void
time_now(char out[40])
{
    struct timespec now;
    struct tm tm;
    char zone[8] = "";
    out[0] = '\0';
    clock_gettime(CLOCK_REALTIME, &now);
    if (localtime_r(&now.tv_sec, &tm) == NULL)
        return;
    size_t len = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm);
    snprintf(out + len, 40 - len, ".%03ld%.3s:%.2s ", now.tv_nsec / 1000000, zone,
             zone + 3);
}

static size_t
line_begin(const struct log *log, enum log_level level, char line[LOG_LINE_MAX])
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char now[40] = "";
    if (log->journal)
        return (size_t)snprintf(line, LOG_LINE_MAX, "<%d>", log_sink_priority((int)level));
    if (log->has_times)
        time_now(now);
    return (size_t)snprintf(line, LOG_LINE_MAX, "%srowcast[%ld]: %s: ", now, (long)getpid(),
                            names[level]);
}

/* A line end within a line would make two lines, and in the journal a new field. */
static void
line_join(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] == '\n')
            line[i] = ' ';
}

/* Returns 0, or -1 when the line is lost. */
static int
line_put(const struct log *log, enum log_level level, const char *format, va_list args)
{
    char line[LOG_LINE_MAX];
    int priority = log_sink_priority((int)level);
    enum log_sink_result result = LOG_SINK_GONE;
    size_t start = line_begin(log, level, line);
    size_t len = line_format(line, start, format, args);
    line_join(line, len);
    if (log->to == LOG_SINK_SYSLOG)
        return log_sink_syslog(log->sock, priority, line + start) == LOG_SINK_TAKEN ? 0
                                                                                    : -1;
    if (log->to == LOG_SINK_JOURNAL)
        result = log_sink_journal(log->sock, priority, line + start);
    if (result != LOG_SINK_GONE)
        return result == LOG_SINK_TAKEN ? 0 : -1;
    line[len++] = '\n';
    return log_sink_write(&log->out, line, len);
}

static int
line_say(const struct log *log, enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = line_put(log, level, format, args);
    va_end(args);
    return result;
}

/* Reports earlier lost lines, before the next line. Returns 0, or -1 when the sink is still
 * full. */
static int
loss_tell(const struct log *log)
{
    if (log->loss == NULL)
        return 0;
    uint64_t lines = __atomic_load_n(&log->loss->lines, __ATOMIC_RELAXED);
    uint64_t reported = __atomic_load_n(&log->loss->reported, __ATOMIC_RELAXED);
    if (lines <= reported)
        return 0;
    if (line_say(log, LOG_WARN, "log lines lost=%llu",
                 (unsigned long long)(lines - reported)) != 0)
        return -1;
    __atomic_store_n(&log->loss->reported, lines, __ATOMIC_RELAXED);
    return 0;
}

void
log_line(const struct log *log, enum log_level level, const char *format, ...)
{
    if (level > log->level)
        return;

    int result = loss_tell(log);
    if (result == 0) {
        va_list args;
        va_start(args, format);
        result = line_put(log, level, format, args);
        va_end(args);
    }
    if (result != 0 && log->loss != NULL)
        __atomic_fetch_add(&log->loss->lines, 1, __ATOMIC_RELAXED);
}

/* --- values ------------------------------------------------------------------------------ */

struct quoting {
    char *out;
    size_t len;
    size_t room;  /* without closing quote and NUL */
    bool in_list; /* a comma separates items */
    bool plain;   /* the value needs no quotes */
};

static bool
needs_escape(const struct quoting *quoting, unsigned char byte)
{
    return byte < ' ' || byte >= 0x7f || byte == '"' || byte == '\\' ||
           (quoting->in_list && byte == ',');
}

/* \" and \\, as readers of logfmt expect; \x1f for all other bytes that need an escape. */
static size_t
escape(char out[ESCAPE_LEN + 1], const struct quoting *quoting, unsigned char byte)
{
    out[0] = (char)byte;
    if (!needs_escape(quoting, byte))
        return 1;
    if (byte != '"' && byte != '\\')
        return (size_t)snprintf(out, ESCAPE_LEN + 1, "\\x%02x", byte);
    out[0] = '\\';
    out[1] = (char)byte;
    return 2;
}

static bool
is_plain(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\' || *p == '=')
            return false;
    return *text != '\0';
}

/* The length of a ticket that begins here, or 0. A client may send its ticket as a channel or in
 * the path by mistake; from the log, a reader could then use it. The ticket's header is JSON, so
 * it begins with `{` and a quote, a space or a line end: "ey" or "ew" (RFC 7515 section 3.1). */
static size_t
ticket_len(const char *text)
{
    const char *p = text;
    if (p[0] != 'e' || (p[1] != 'y' && p[1] != 'w'))
        return 0;
    for (int part = 0; part < 2; part++) {
        p += strspn(p, BASE64URL);
        if (*p++ != '.')
            return 0;
    }
    size_t signature = strspn(p, BASE64URL);
    return signature < SIGNATURE_MIN ? 0 : (size_t)(p - text) + signature;
}

static bool
quote_append_hidden(struct quoting *quoting)
{
    size_t len = strlen(TICKET_HIDDEN);
    if (quoting->len + len > quoting->room)
        return false;
    memcpy(quoting->out + quoting->len, TICKET_HIDDEN, len);
    quoting->len += len;
    return true;
}

/* Appends as much of the text as there is room for. Returns whether that was the whole text. */
static bool
quote_append(struct quoting *quoting, const char *text)
{
    bool in_word = false; /* a ticket begins where a word does */
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        size_t hidden = in_word ? 0 : ticket_len((const char *)p);
        if (hidden > 0 && !quote_append_hidden(quoting))
            return false;
        if (hidden > 0) {
            p += hidden - 1;
            continue;
        }
        in_word = strchr(BASE64URL, *p) != NULL;
        char shown[ESCAPE_LEN + 1];
        size_t len = escape(shown, quoting, *p);
        if (quoting->len + len > quoting->room)
            return false;
        memcpy(quoting->out + quoting->len, shown, len);
        quoting->len += len;
    }
    return true;
}

static void
quote_begin(struct quoting *quoting, size_t size)
{
    quoting->room = size - (quoting->plain ? 1 : 2);
    if (!quoting->plain)
        quoting->out[quoting->len++] = '"';
}

static const char *
quote_end(struct quoting *quoting)
{
    if (!quoting->plain)
        quoting->out[quoting->len++] = '"';
    quoting->out[quoting->len] = '\0';
    return quoting->out;
}

const char *
log_quote(char *out, unsigned long size, const char *text)
{
    struct quoting quoting = {.out = out};
    if (text == NULL) {
        memcpy(out, "-", 2);
        return out;
    }
    quoting.plain = is_plain(text);
    quote_begin(&quoting, size);
    quote_append(&quoting, text);
    return quote_end(&quoting);
}

const char *
log_quote_list(char *out, unsigned long size, struct log_list list, size_t *more)
{
    struct quoting quoting = {.out = out, .in_list = true};
    quoting.plain = list.count > 0;
    for (size_t i = 0; i < list.count && quoting.plain; i++)
        quoting.plain = is_plain(list.items[i]) && strchr(list.items[i], ',') == NULL;
    quote_begin(&quoting, size);
    size_t shown = 0;
    for (; shown < list.count; shown++) {
        size_t before = quoting.len;
        if (shown > 0 && quoting.len < quoting.room)
            out[quoting.len++] = ',';
        if ((shown > 0 && quoting.len == before) ||
            !quote_append(&quoting, list.items[shown])) {
            if (shown > 0) /* a first item that is too long shows its beginning */
                quoting.len = before;
            break;
        }
    }
    *more = list.count - shown;
    return quote_end(&quoting);
}
