/* log_journal.c - a line for the journal, through libsystemd: its pairs key=value as fields.
 *
 * So that `journalctl ROWCAST_USER=alice` finds what concerns her. Of a line that is prose, nothing
 * becomes a field: it may have words of a path, of SQLite or of an application's trigger. */
#include "config.h"

#include "base/log_sink.h"

#include <ctype.h>
#include <string.h>
#include <sys/uio.h>

#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would be this file's, always */
#include <systemd/sd-journal.h>
#endif

#define PREFIX "ROWCAST_"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

/* Past the words before the first pair; NULL: something else is there. */
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

/* The pair at p; NULL: there is none. Else returns its end. log_quote has left no quote in a value. */
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
    field->value_len = strcspn(p, quoted ? "\"" : " ");
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

#ifdef HAVE_SYSTEMD
/* Room for the line twice, as the message and as its fields. */
struct journal_text {
    char bytes[2 * LOG_SINK_LINE_MAX + LOG_SINK_FIELDS_MAX * sizeof PREFIX + 64];
    size_t len;
};

static struct iovec
journal_field(struct journal_text *text, const struct log_sink_field *field, bool prefix)
{
    char *begin = text->bytes + text->len;
    char *p = begin;
    if (prefix)
        p = mempcpy(p, PREFIX, sizeof PREFIX - 1);
    for (size_t i = 0; i < field->key_len; i++)
        *p++ = (char)toupper((unsigned char)field->key[i]);
    *p++ = '=';
    p = mempcpy(p, field->value, field->value_len);
    text->len += (size_t)(p - begin);
    return (struct iovec){begin, (size_t)(p - begin)};
}
#endif

int
log_sink_journal(int priority, const char *line)
{
#ifdef HAVE_SYSTEMD
    struct journal_text text = {.len = 0};
    struct log_sink_field fields[LOG_SINK_FIELDS_MAX];
    struct iovec parts[3 + LOG_SINK_FIELDS_MAX];
    const char digit = (char)('0' + priority);
    const struct log_sink_field always[] = {
        {"message", 7, line, strnlen(line, LOG_SINK_LINE_MAX)},
        {"priority", 8, &digit, 1},
        {"syslog_identifier", 17, "rowcast", 7}};
    int count = 0;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        parts[count++] = journal_field(&text, &always[i], false);
    size_t more = log_sink_fields(line, fields);
    for (size_t i = 0; i < more; i++)
        parts[count++] = journal_field(&text, &fields[i], true);
    return sd_journal_sendv(parts, count) < 0 ? -1 : 0;
#else
    (void)priority;
    (void)line;
    return -1;
#endif
}
