/* log_journal.c - a line for the journal: its pairs key=value as fields.
 *
 * `journalctl ROWCAST_USER=alice` then finds the lines about this user. A line of prose makes no
 * fields: it may contain text of a path, of SQLite or of an application's trigger. This file does
 * not use libsystemd, which waits while the journal does not read. The form is systemd.io's
 * "Native Journal Protocol". */
#include "config.h"

#include "base/log_sink.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "ROWCAST_"
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

/* Returns the first pair behind the words at p; NULL when anything else comes first. */
static const char *
skip_words(const char *p)
{
    for (;;) {
        size_t len = strspn(p, letters);
        if (len > 0 && p[len] == '=')
            return p;
        if (len == 0 || p[len] != ' ')
            return NULL;
        p += len + 1;
    }
}

/* The length up to the quote that ends the value. log_quote put \ before each quote and \ in it. */
static size_t
quoted_len(const char *p)
{
    size_t len = 0;
    while (p[len] != '\0' && p[len] != '"')
        len += p[len] == '\\' && p[len + 1] != '\0' ? 2 : 1;
    return len;
}

/* Sets *field to the pair at p. Returns the pair's end; NULL when no pair is at p. */
static const char *
take_field(const char *p, struct log_sink_field *field)
{
    field->key = p;
    field->key_len = strspn(p, letters);
    if (field->key_len == 0 || p[field->key_len] != '=')
        return NULL;
    p += field->key_len + 1;
    bool quoted = *p == '"';
    field->value = p += quoted;
    field->value_len = quoted ? quoted_len(p) : strcspn(p, " ");
    p += field->value_len;
    return quoted && *p == '"' ? p + 1 : p;
}

size_t
log_sink_fields(const char *line, struct log_sink_field fields[LOG_SINK_FIELDS_MAX])
{
    size_t count = 0;
    const char *p = skip_words(line);
    while (p != NULL && count < LOG_SINK_FIELDS_MAX) {
        p = take_field(p, &fields[count]);
        if (p != NULL)
            count++;
        p = p != NULL && *p == ' ' ? p + 1 : NULL;
    }
    return count;
}

bool
log_sink_finds_journal(void)
{
    return access(JOURNAL_SOCKET, F_OK) == 0;
}

/* Room for the line twice, as the message and as its fields. */
struct journal_text {
    char bytes[2 * LOG_SINK_LINE_MAX + LOG_SINK_FIELDS_MAX * sizeof PREFIX + 64];
    size_t len;
};

/* Appends KEY=value and a line end. A value has no line end: base/log.c has replaced it. */
static void
append_field(struct journal_text *text, const char *prefix,
             const struct log_sink_field *field)
{
    char *p = text->bytes + text->len;
    p = stpcpy(p, prefix);
    for (size_t i = 0; i < field->key_len; i++)
        *p++ = (char)toupper((unsigned char)field->key[i]);
    *p++ = '=';
    p = mempcpy(p, field->value, field->value_len);
    *p++ = '\n';
    text->len = (size_t)(p - text->bytes);
}

enum log_sink_result
log_sink_journal(int sock, int priority, const char *line)
{
    struct journal_text text = {.len = 0};
    struct log_sink_field fields[LOG_SINK_FIELDS_MAX];
    const char digit = (char)('0' + priority);
    const struct log_sink_field always[] = {
        {"message", 7, line, strnlen(line, LOG_SINK_LINE_MAX)},
        {"priority", 8, &digit, 1},
        {"syslog_identifier", 17, "rowcast", 7}};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        append_field(&text, "", &always[i]);
    size_t more = log_sink_fields(line, fields);
    for (size_t i = 0; i < more; i++)
        append_field(&text, PREFIX, &fields[i]);
    return log_sink_send(sock, JOURNAL_SOCKET, text.bytes, text.len);
}
