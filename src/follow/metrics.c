/* metrics.c - the follower's figures as a file (base/metrics_file.h). Called by follow/follow.c,
 * about once a second. */
#include "config.h"

#include "base/clock.h"
#include "base/metrics_file.h"
#include "follow/internal.h"

int
follow_write_metrics(const struct follow *follow, struct error *error)
{
    const struct store_follower *state = &follow->state;
    const struct follow_counts *counts = &follow->counts;
    int64_t lag_ms = store_follower_lag_ms(state, clock_unix_ms());
    const struct metrics_figure figures[] = {
        {"rowcast_follow_connected", "gauge", "1 while it is connected to PostgreSQL.",
         follow->pg != NULL ? 1 : 0},
        {"rowcast_follow_contact_timestamp_seconds", "gauge",
         "Unix time at which the file had all rows that PostgreSQL had.",
         (double)state->contact_at_ms / 1000},
        {"rowcast_follow_lag_seconds", "gauge",
         "For how long rows may have been missing; 0: none are.", (double)lag_ms / 1000},
        {"rowcast_follow_behind_ids", "gauge",
         "How many ids PostgreSQL was ahead at the last look.", (double)state->behind},
        {"rowcast_follow_cursor", "gauge", "Every row up to this id is in the file.",
         (double)state->cursor},
        {"rowcast_follow_rows_total", "counter", "Rows written since the start.",
         (double)counts->rows},
        {"rowcast_follow_deleted_rows_total", "counter",
         "Rows deleted since the start, as PostgreSQL's.", (double)counts->deleted},
        {"rowcast_follow_left_out_rows_total", "counter",
         "Rows that the file's table does not take.", (double)counts->refused_rows},
        {"rowcast_follow_connections_total", "counter",
         "Connections opened since the start.", (double)counts->connections},
        {"rowcast_follow_failures_total", "counter",
         "Failed connections and looks since the start.", (double)counts->failures},
    };

    return metrics_file_write(follow->settings->metrics, figures,
                              sizeof figures / sizeof *figures, error);
}
