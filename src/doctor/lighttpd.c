/* lighttpd.c - lighttpd's limits, and how it streams, from its own reading of its
 * configuration.
 *
 * Called by cmd/doctor.c for --lighttpd-config. From outside stream-response-body = 1 looks
 * like 2 until a slow page has filled the disk, and a limit is seen only by a page that is over
 * it. lighttpd itself prints what it made of includes, variables and conditions: "key = value"
 * lines, in blocks of "condition {". */
#include "config.h"

#include "doctor/lighttpd.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/parse_number.h"
#include "doctor/run.h"

/* lighttpd's own (1.4.69): server.max-fds, and connections as a part of it. */
#define DEFAULT_FDS 4096
#define FDS_FOR_A_CONNECTION 3
#define FDS_FOR_A_STREAM 2 /* the page's and rowcast's */

#define LINE_LEN_MAX 256
#define DEPTH_MAX 16
#define UNKNOWN_LEN_MAX 300

struct settings {
    int64_t fds, connections;      /* 0: not set */
    int blocks[3];                 /* how often stream-response-body is 0, 1 or 2 */
    char spooling[LINE_LEN_MAX];   /* the condition of the block with 1 */
    char unknown[UNKNOWN_LEN_MAX]; /* keys of which it warns: "a, b" */
};

static bool
take_number(const char *line, const char *key, int64_t *value)
{
    size_t len = strlen(key);

    if (strncmp(line, key, len) != 0)
        return false;
    const char *p = line + len + strspn(line + len, " ");
    if (*p != '=')
        return false;
    p++;
    return parse_count(p + strspn(p, " "), 0, INT32_MAX, value) == 0;
}

struct place {
    char conditions[DEPTH_MAX][LINE_LEN_MAX];
    size_t depth;
};

/* From "...WARNING: unknown config-key: auth.require (ignored)". False: the line is no such one. */
static bool
take_unknown(struct settings *settings, const char *line)
{
    static const char words[] = "unknown config-key: ";
    const char *found = strstr(line, words);
    size_t used = strlen(settings->unknown);

    if (found == NULL)
        return false;
    found += sizeof words - 1;
    snprintf(settings->unknown + used, sizeof settings->unknown - used, "%s%.*s",
             used > 0 ? ", " : "", (int)strcspn(found, " "), found);
    return true;
}

/* lighttpd 1.4.79 (Debian 13) prints "if $HTTP[...] {", older ones without the word. */
static const char *
without_if(const char *condition)
{
    return strncmp(condition, "if ", 3) == 0 ? condition + 3 : condition;
}

static void
take_line(struct settings *settings, struct place *place, char *line)
{
    size_t len = strlen(line);
    int64_t value;

    if (take_unknown(settings, line))
        return;
    if (len > 0 && line[len - 1] == '{') {
        if (place->depth < DEPTH_MAX) {
            line[len - 1] = '\0';
            snprintf(place->conditions[place->depth], LINE_LEN_MAX, "%s", without_if(line));
        }
        place->depth++;
    } else if (line[0] == '}') {
        place->depth -= place->depth > 0;
    } else if (take_number(line, "server.stream-response-body", &value) && value <= 2) {
        settings->blocks[value]++;
        if (value == 1 && place->depth > 0 && place->depth <= DEPTH_MAX)
            memcpy(settings->spooling, place->conditions[place->depth - 1], LINE_LEN_MAX);
    } else if (place->depth <= 1) {
        take_number(line, "server.max-fds", &settings->fds);
        take_number(line, "server.max-connections", &settings->connections);
    }
}

static void
read_settings(struct slice text, struct settings *settings)
{
    struct place place = {.depth = 0};

    *settings = (struct settings){0};
    while (text.len > 0) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.p) : text.len;
        size_t indent = 0;
        char line[LINE_LEN_MAX];
        while (indent < len && text.p[indent] == ' ')
            indent++;
        snprintf(line, sizeof line, "%.*s", (int)(len - indent), text.p + indent);
        take_line(settings, &place, line);
        text.p += len + (end != NULL);
        text.len -= len + (end != NULL);
    }
}

static void
judge_streaming(const struct settings *settings, struct doctor_report *report)
{
    static const char remedy[] =
        "In the block of this path: server.stream-response-body = 2";

    if (settings->blocks[1] > 0)
        doctor_find(
            report, (struct doctor_head){"spooling", DOCTOR_WARNING, remedy},
            "server.stream-response-body = 1 (in: %s) spools what a slow page has not "
            "read to temporary files without bound",
            settings->spooling);
    else if (settings->blocks[2] == 0)
        doctor_find(
            report, (struct doctor_head){"spooling", DOCTOR_PROBLEM, remedy},
            "server.stream-response-body is not 2 anywhere: lighttpd keeps a stream back "
            "until its end");
    else
        doctor_find(report, (struct doctor_head){"spooling", DOCTOR_OK, NULL},
                    "server.stream-response-body = 2");
}

/* lighttpd starts without what it does not know: the stream would be open. */
static void
judge_unknown(const struct settings *settings, struct doctor_report *report)
{
    if (settings->unknown[0] != '\0')
        doctor_find(report,
                    (struct doctor_head){
                        "unknown", DOCTOR_PROBLEM,
                        "Load the module before mod_fastcgi, as lighttpd/rowcast.conf "
                        "does:\nserver.modules += ( \"mod_setenv\", \"mod_auth\", "
                        "\"mod_authn_file\" ); or mend the spelling."},
                    "lighttpd does not know and ignores: %s. A login or a bound among them "
                    "does not hold",
                    settings->unknown);
}

void
doctor_judge_lighttpd_text(struct slice text, int64_t streams, struct doctor_report *report)
{
    struct settings settings;

    read_settings(text, &settings);
    judge_unknown(&settings, report);
    judge_streaming(&settings, report);

    int64_t fds = settings.fds > 0 ? settings.fds : DEFAULT_FDS;
    int64_t connections =
        settings.connections > 0 ? settings.connections : fds / FDS_FOR_A_CONNECTION;
    int64_t most = fds / FDS_FOR_A_STREAM;
    if (connections < most)
        most = connections;
    struct doctor_head head = {"connections", DOCTOR_OK, NULL};
    if (most < streams) {
        head.level = DOCTOR_WARNING;
        head.remedy =
            "server.max-fds = 16384 and server.max-connections = 8000, as in "
            "lighttpd/rowcast.conf;\n--streams N says how many pages there may be.";
    }
    doctor_find(report, head,
                "lighttpd takes %lld open pages at the most (server.max-fds %lld%s, "
                "server.max-connections %lld%s); %lld are wanted",
                (long long)most, (long long)fds, settings.fds > 0 ? "" : ", its default",
                (long long)connections, settings.connections > 0 ? "" : ", its default",
                (long long)streams);
}

void
doctor_judge_lighttpd(const char *file, int64_t streams, struct doctor_report *report)
{
    /* -tt loads the modules, and only then it is known which keys are unknown. Whether it succeeds
     * plays no part: it may want rights that doctor's user does not have. */
    const char *const load[] = {"lighttpd", "-tt", "-f", file, NULL};
    const char *const print[] = {"lighttpd", "-p", "-f", file, NULL};
    struct buf text = {0};

    doctor_run(load, &text);
    if (doctor_run(print, &text) == 0 && !text.failed)
        doctor_judge_lighttpd_text(buf_slice(&text), streams, report);
    else
        doctor_find(report,
                    (struct doctor_head){
                        "connections", DOCTOR_PROBLEM,
                        "Try `lighttpd -tt -f FILE` with the same file, as the same "
                        "user."},
                    "lighttpd cannot read %s: %.*s", file,
                    text.len < 300 ? (int)text.len : 300, buf_slice(&text).p);
    buf_fini(&text);
}
