/* metrics.c - the follower's figures as a file in the Prometheus text format, for the textfile
 * collector of node_exporter. Called by follow/follow.c, about once a second. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "follow/internal.h"

struct figure {
    const char *name, *type, *help;
    double value;
};

static void
append_figures(struct buf *text, const struct follow *follow)
{
    const struct store_follower *state = &follow->state;
    const struct follow_counts *counts = &follow->counts;
    int64_t lag_ms = store_follower_lag_ms(state, clock_unix_ms());
    const struct figure figures[] = {
        {"connected", "gauge", "1 while it is connected to PostgreSQL.",
         follow->pg != NULL ? 1 : 0},
        {"contact_timestamp_seconds", "gauge",
         "Unix time at which the file had all rows that PostgreSQL had.",
         (double)state->contact_at_ms / 1000},
        {"lag_seconds", "gauge", "For how long rows may have been missing; 0: none are.",
         (double)lag_ms / 1000},
        {"behind_ids", "gauge", "How many ids PostgreSQL was ahead at the last look.",
         (double)state->behind},
        {"cursor", "gauge", "Every row up to this id is in the file.",
         (double)state->cursor},
        {"rows_total", "counter", "Rows written since the start.", (double)counts->rows},
        {"deleted_rows_total", "counter", "Rows deleted since the start, as PostgreSQL's.",
         (double)counts->deleted},
        {"left_out_rows_total", "counter", "Rows that the file's table does not take.",
         (double)counts->refused_rows},
        {"connections_total", "counter", "Connections opened since the start.",
         (double)counts->connections},
        {"failures_total", "counter", "Failed connections and looks since the start.",
         (double)counts->failures},
    };

    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        buf_printf(text,
                   "# HELP rowcast_follow_%s %s\n# TYPE rowcast_follow_%s %s\n"
                   "rowcast_follow_%s %.15g\n",
                   figures[i].name, figures[i].help, figures[i].name, figures[i].type,
                   figures[i].name, figures[i].value);
}

/* Under another name first: a reader of the file finds it whole. */
static int
replace_file(const char *path, const char *next, const struct buf *text,
             struct error *error)
{
    FILE *file = fopen(next, "w");

    if (file == NULL)
        return error_set(error, "--metrics: %s: %s", next, strerror(errno));
    size_t written = fwrite(text->p, 1, text->len, file);
    fchmod(fileno(file), 0644);
    if (fclose(file) == 0 && written == text->len && rename(next, path) == 0)
        return 0;
    int cause = errno;
    unlink(next);
    return error_set(error, "--metrics: %s: %s", path, strerror(cause));
}

int
follow_write_metrics(const struct follow *follow, struct error *error)
{
    struct buf text = {0};
    struct buf next = {0};

    append_figures(&text, follow);
    buf_printf(&next, "%s.new", follow->settings->metrics);
    buf_append(&next, "", 1);
    int outcome = text.failed || next.failed
                      ? error_set(error, "--metrics: out of memory")
                      : replace_file(follow->settings->metrics, next.p, &text, error);
    buf_fini(&text);
    buf_fini(&next);
    return outcome;
}
