/* log.c - one write(2) for each line, so that lines of several processes do not mix. */
#include "config.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log_sink.h"

_Static_assert(LOG_LINE_MAX == LOG_SINK_LINE_MAX, "base/log.h and base/log_sink.h agree");

#define ESCAPE_LEN 4 /* \x1f */

/* In place of a ticket. */
#define TICKET_HIDDEN "[ticket]"
#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define SIGNATURE_MIN 43 /* of 32 bytes, which is HS256's; others have more */

/* --- lines ------------------------------------------------------------------------------- */

void
log_init(struct log *log, enum log_level level)
{
    log->level = level;
    log->to = LOG_SINK_STDERR;
    log->fd = STDERR_FILENO;
    log->journal = getenv("JOURNAL_STREAM") != NULL;
}

void
log_open(struct log *log, enum log_level level, enum log_sink to)
{
    log_init(log, level);
    log->to = to;
    if (to == LOG_SINK_SYSLOG) {
        log_sink_syslog_open();
    } else if (to == LOG_SINK_JOURNAL && !log_sink_finds_journal()) {
        log->to = LOG_SINK_STDERR;
        log_line(log, LOG_WARN, "no journal is running: lines go to stderr");
    }
}

/* A line that was cut at len: dots in place of its last bytes, and of an escape of which they are a
 * part. Returns the new length. */
static size_t
line_end_cut(char *line, size_t len)
{
    static const char dots[] = "...";
    size_t at = len - strlen(dots);
    for (size_t back = 1; back < ESCAPE_LEN; back++) {
        if (line[at - back] == '\\') {
            at -= back;
            break;
        }
    }
    memcpy(line + at, dots, sizeof dots);
    return at + strlen(dots);
}

/* From len on, with room left for a line end. Returns the length. */
static size_t
line_format(char line[LOG_LINE_MAX], size_t len, const char *format, va_list args)
{
    size_t most = LOG_LINE_MAX - 2;
    int more = vsnprintf(line + len, most + 1 - len, format, args);
    if (more < 0)
        return len;
    return (size_t)more > most - len ? line_end_cut(line, most) : len + (size_t)more;
}

static size_t
line_begin(const struct log *log, enum log_level level, char line[LOG_LINE_MAX])
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    int len;
    if (log->journal)
        len = snprintf(line, LOG_LINE_MAX, "<%d>", log_sink_priority((int)level));
    else
        len = snprintf(line, LOG_LINE_MAX, "rowcast[%ld]: %s: ", (long)getpid(),
                       names[level]);
    return (size_t)len;
}

void
log_line(const struct log *log, enum log_level level, const char *format, ...)
{
    if (level > log->level)
        return;

    char line[LOG_LINE_MAX];
    size_t start = line_begin(log, level, line);
    va_list args;
    va_start(args, format);
    size_t len = line_format(line, start, format, args);
    va_end(args);

    int priority = log_sink_priority((int)level);
    if (log->to == LOG_SINK_SYSLOG) {
        log_sink_syslog(priority, line + start);
        return;
    }
    if (log->to == LOG_SINK_JOURNAL && log_sink_journal(priority, line + start) == 0)
        return;
    line[len++] = '\n';
    /* A full or closed stderr must not stop the program: the line is lost. */
    ssize_t written = write(log->fd, line, len);
    (void)written;
}

/* --- values ------------------------------------------------------------------------------ */

struct quoting {
    char *out;
    size_t len;
    size_t room;  /* without closing quote and NUL */
    bool in_list; /* a comma parts items */
};

static bool
needs_escape(const struct quoting *quoting, unsigned char byte)
{
    return byte < ' ' || byte >= 0x7f || byte == '"' || byte == '\\' ||
           (quoting->in_list && byte == ',');
}

static bool
is_plain(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\' || *p == '=')
            return false;
    return *text != '\0';
}

/* The length of a ticket that begins here, or 0. Somebody gives it as a channel, or appends it to
 * the path: whoever then reads the log could be that user. Its header is JSON, so it begins with
 * `{` and a quote, a space or a line end: "ey" or "ew" (RFC 7515 section 3.1). */
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

/* Appends as much of the text as there is room for; whether that was all of it. */
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
        bool escaped = needs_escape(quoting, *p);
        if (quoting->len + (escaped ? ESCAPE_LEN : 1) > quoting->room)
            return false;
        if (escaped)
            snprintf(quoting->out + quoting->len, ESCAPE_LEN + 1, "\\x%02x", *p);
        else
            quoting->out[quoting->len] = (char)*p;
        quoting->len += escaped ? ESCAPE_LEN : 1;
    }
    return true;
}

static void
quote_begin(struct quoting *quoting, size_t size, bool plain)
{
    quoting->room = size - (plain ? 1 : 2);
    if (!plain)
        quoting->out[quoting->len++] = '"';
}

static const char *
quote_end(struct quoting *quoting, bool plain)
{
    if (!plain)
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
    bool plain = is_plain(text);
    quote_begin(&quoting, size, plain);
    quote_append(&quoting, text);
    return quote_end(&quoting, plain);
}

const char *
log_quote_list(char *out, unsigned long size, struct log_list list, size_t *more)
{
    struct quoting quoting = {.out = out, .in_list = true};
    bool plain = list.count > 0;
    for (size_t i = 0; i < list.count && plain; i++)
        plain = is_plain(list.items[i]) && strchr(list.items[i], ',') == NULL;
    quote_begin(&quoting, size, plain);
    size_t shown = 0;
    for (; shown < list.count; shown++) {
        size_t before = quoting.len;
        if (shown > 0 && quoting.len < quoting.room)
            out[quoting.len++] = ',';
        if ((shown > 0 && quoting.len == before) ||
            !quote_append(&quoting, list.items[shown])) {
            if (shown > 0) /* of a first one that is too long the beginning is shown */
                quoting.len = before;
            break;
        }
    }
    *more = list.count - shown;
    return quote_end(&quoting, plain);
}
