/* apache.c - Apache's workers beside the number of streams.
 *
 * Called by cmd/doctor.c for --apache-config. Each open page holds one of MaxRequestWorkers for as
 * long as it is open, so as many pages hang the whole site. From outside that is seen only by
 * those who are over it. Apache itself prints its configuration, mod_info(8) does it without the
 * server being started: a directive with its arguments on a line. */
#include "config.h"

#include "doctor/apache.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/parse_number.h"
#include "doctor/run.h"

/* Apache 2.4's own: MaxRequestWorkers where it is not set is ServerLimit times ThreadsPerChild. */
#define DEFAULT_WORKERS 400
#define LINE_LEN_MAX 256
#define MOD_INFO "LoadModule info_module /usr/lib/apache2/modules/mod_info.so"

struct settings {
    int64_t workers;     /* MaxRequestWorkers, the last one; 0: not set */
    int64_t max_streams; /* the highest SetEnv ROWCAST_MAX_STREAMS; 0: none */
};

/* The number behind the words, quotes aside; -1 when the line has others. */
static int64_t
number_after(const char *line, const char *words)
{
    char digits[24];
    int64_t number;
    size_t len = strlen(words);

    if (strncasecmp(line, words, len) != 0)
        return -1;
    line += len + strspn(line + len, " \t\"");
    snprintf(digits, sizeof digits, "%.*s", (int)strspn(line, "0123456789"), line);
    return parse_count(digits, 0, INT32_MAX, &number) == 0 ? number : -1;
}

static void
take_line(struct settings *settings, const char *line)
{
    int64_t workers = number_after(line, "MaxRequestWorkers ");
    int64_t streams = number_after(line, "SetEnv ROWCAST_MAX_STREAMS ");

    if (workers > 0)
        settings->workers = workers;
    if (streams > settings->max_streams)
        settings->max_streams = streams;
}

static void
read_settings(struct slice text, struct settings *settings)
{
    char line[LINE_LEN_MAX];

    *settings = (struct settings){0};
    while (text.len > 0) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.p) : text.len;
        size_t indent = 0;
        while (indent < len && (text.p[indent] == ' ' || text.p[indent] == '\t'))
            indent++;
        snprintf(line, sizeof line, "%.*s", (int)(len - indent), text.p + indent);
        take_line(settings, line);
        text.p += len + (end != NULL);
        text.len -= len + (end != NULL);
    }
}

void
doctor_judge_apache_text(struct slice text, int64_t served_max,
                         struct doctor_report *report)
{
    struct settings settings;
    struct doctor_head head = {"workers", DOCTOR_OK, NULL};

    read_settings(text, &settings);
    int64_t workers = settings.workers > 0 ? settings.workers : DEFAULT_WORKERS;
    int64_t most = settings.max_streams;
    if (most == 0 || (served_max > 0 && served_max < most))
        most = served_max;
    if (most > 0 && most < workers) {
        doctor_find(report, head,
                    "Apache has %lld workers and the events take %lld of them at the most",
                    (long long)workers, (long long)most);
        return;
    }
    head.level = DOCTOR_WARNING;
    head.remedy = "In the <Location> of the events: SetEnv ROWCAST_MAX_STREAMS N, with N "
                  "well below\nMaxRequestWorkers, as in apache/rowcast.conf (or rowcast "
                  "serve --max-streams N).";
    if (most > 0)
        doctor_find(report, head,
                    "Apache has %lld workers, and the events may take %lld: as many open "
                    "pages hang the whole site",
                    (long long)workers, (long long)most);
    else
        doctor_find(report, head,
                    "Apache has %lld workers, and nothing is seen that bounds the streams: "
                    "%lld open pages hang the whole site",
                    (long long)workers, (long long)workers);
}

void
doctor_judge_apache(const char *file, int64_t served_max, struct doctor_report *report)
{
    /* apache2ctl, as Debian's files want its variables. mod_info may be loaded already. */
    const char *const argv[] = {"apache2ctl",  "-f", file,     "-t", "-D",
                                "DUMP_CONFIG", "-C", MOD_INFO, NULL};
    struct buf text = {0};

    if (doctor_run(argv, &text) == 0 && !text.failed)
        doctor_judge_apache_text(buf_slice(&text), served_max, report);
    else
        doctor_find(report,
                    (struct doctor_head){"workers", DOCTOR_PROBLEM,
                                         "Try `apache2ctl -t -f FILE` with the same file."},
                    "Apache cannot read %s: %.*s", file,
                    text.len < 300 ? (int)text.len : 300, buf_slice(&text).p);
    buf_fini(&text);
}
