/* events.c - reads an event stream line by line (HTML standard, section 9.2.6).
 *
 * Called by doctor/http.c with each piece of a body. rowcast ends lines with LF; a CR before it
 * is dropped. The bytes come from a stranger: everything has a bound, what does not fit is cut. */
#include "config.h"

#include "doctor/events.h"

#include <stdio.h>
#include <string.h>

void
doctor_events_init(struct doctor_events *events)
{
    *events = (struct doctor_events){
        .opening_ms = -1, .ping_ms = -1, .beat_ms = -1, .probe_ms = -1};
}

static void
note_time(int64_t *when, int64_t now_ms)
{
    if (*when < 0)
        *when = now_ms;
}

static void
end_row(struct doctor_events *events, int64_t now_ms)
{
    if (events->probe[0] != '\0' && strcmp(events->id, events->probe) == 0)
        note_time(&events->probe_ms, now_ms);
    else
        events->rows++;
}

static void
end_opening(struct doctor_events *events, int64_t now_ms)
{
    if (events->opening_ms < 0)
        memcpy(events->opening_id, events->id, sizeof events->opening_id);
    note_time(&events->opening_ms, now_ms);
}

/* An empty line: the block is complete. Without data it is no event. */
static void
end_block(struct doctor_events *events, int64_t now_ms)
{
    if (!events->has_data)
        ;
    else if (strcmp(events->event, "rowcast:open") == 0)
        end_opening(events, now_ms);
    else if (strcmp(events->event, "rowcast:ping") == 0)
        note_time(&events->ping_ms, now_ms);
    else if (strncmp(events->event, "rowcast:", 8) != 0)
        end_row(events, now_ms);
    events->event[0] = '\0';
    events->has_data = false;
}

static void
take_comment(struct doctor_events *events, const char *text, int64_t now_ms)
{
    if (text[0] == '\0')
        note_time(&events->beat_ms, now_ms);
    else if (strcmp(text, "connected") != 0)
        snprintf(events->said, sizeof events->said, "%.*s", EVENTS_WORD_MAX - 1, text);
}

static void
take_line(struct doctor_events *events, int64_t now_ms)
{
    char *line = events->line;

    if (line[0] == '\0') {
        end_block(events, now_ms);
        return;
    }
    char *colon = strchr(line, ':');
    const char *value = "";
    if (colon != NULL) {
        *colon = '\0';
        value = colon + 1 + (colon[1] == ' ');
    }
    if (colon == line)
        take_comment(events, value, now_ms);
    else if (strcmp(line, "id") == 0)
        snprintf(events->id, sizeof events->id, "%.*s", EVENTS_WORD_MAX - 1, value);
    else if (strcmp(line, "event") == 0)
        snprintf(events->event, sizeof events->event, "%.*s", EVENTS_WORD_MAX - 1, value);
    else if (strcmp(line, "data") == 0)
        events->has_data = true;
}

void
doctor_events_feed(struct doctor_events *events, struct slice bytes, int64_t now_ms)
{
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.p[i];
        if (c == '\n') {
            unsigned len = events->line_len;
            if (len > 0 && events->line[len - 1] == '\r')
                len--;
            events->line[len] = '\0';
            take_line(events, now_ms);
            events->line_len = 0;
        } else if (events->line_len < EVENTS_LINE_MAX - 1) {
            events->line[events->line_len++] = c;
        }
    }
}
