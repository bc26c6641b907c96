/* measures.c - the table of measures, and their values; see serve/measures.h. */
#include "config.h"

#include "serve/measures.h"

#include "base/clock.h"

const char *
measure_format_name(int format)
{
    static const char *const names[FORMATS] = {[FORMAT_SSE] = "sse",
                                               [FORMAT_ENVELOPE] = "envelope",
                                               [FORMAT_NDJSON] = "ndjson",
                                               [FORMAT_JSON] = "json"};
    return names[format];
}

static const char *
close_name(int why)
{
    return close_reason_name((enum close_reason)why);
}

static const char *
close_meaning(int why)
{
    return close_reason_meaning((enum close_reason)why);
}

static const char *
refusal_name(int why)
{
    return hub_refusal_name((enum hub_refusal)why);
}

static const struct measure_label by_format = {"format", FORMATS, measure_format_name,
                                               NULL};
static const struct measure_label by_why = {"why", CLOSE_REASONS, close_name,
                                            close_meaning};
static const struct measure_label by_reason = {"reason", HUB_REFUSALS, refusal_name, NULL};

#define AT(member) .offset = offsetof(struct measures, member)
#define GAUGE .kind = MEASURE_GAUGE
#define COUNTER .kind = MEASURE_COUNTER

const struct measure measures_table[] = {
    {.metric = "start_time_seconds",
     .key = "started_ms",
     .help = "Unix time of the start.",
     GAUGE,
     .unit = MEASURE_MS,
     AT(totals.started_ms)},
    {.key = "time_ms", AT(time_ms)},
    {.key = "workers", AT(workers)},
    {.key = "worker", AT(worker)},
    {.key = "streams",
     .title = "open streams",
     .help = "Open streams, and polls that wait.",
     AT(totals.streams)},
    {.metric = "streams",
     .key = "formats",
     .help = "Open streams, by representation.",
     GAUGE,
     AT(totals.formats),
     .label = &by_format},
    {.metric = "users",
     .key = "users",
     .title = "users",
     .help = "Users with open streams, each worker counted by itself; only with --presence.",
     GAUGE,
     AT(totals.users)},
    {.metric = "streams_behind",
     .key = "behind",
     .title = "of these, catching up",
     .help = "Streams that get older rows before they get new ones.",
     GAUGE,
     AT(totals.behind)},
    {.metric = "opened_total",
     .key = "opened",
     .title = "opened",
     .help = "Streams and polls opened since the start.",
     COUNTER,
     AT(totals.opened)},
    {.metric = "closed_total",
     .key = "closed",
     .title = "closed",
     .help = "Streams closed, by reason.",
     COUNTER,
     AT(totals.closed),
     .label = &by_why},
    {.key = "refused",
     .title = "refused",
     .help = "Streams that were refused, mostly over a limit.",
     AT(totals.refused)},
    {.metric = "refused_total",
     .key = "refused_by",
     .help = "Streams that were refused, by reason.",
     COUNTER,
     AT(totals.refused_by),
     .label = &by_reason},
    {.metric = "answers_waiting",
     .key = "answers_waiting",
     .title = "answers not taken yet",
     .help = "Answers other than streams that their readers have not taken yet.",
     GAUGE,
     AT(totals.answers)},
    {.metric = "too_many_requests_total",
     .key = "too_many_requests",
     .title = "answered 429",
     .help = "Requests other than for a stream whose address came too often: status 429.",
     COUNTER,
     AT(totals.too_many)},
    {.metric = "rows_total",
     .key = "rows",
     .title = "rows",
     .help = "Rows that were inserted while the worker that answers was running.",
     COUNTER,
     AT(totals.rows)},
    {.metric = "events_total",
     .key = "events",
     .title = "events sent",
     .help = "Rows sent, each stream counted: one row to 20 streams is 20 events.",
     COUNTER,
     AT(totals.events)},
    {.metric = "bytes_total",
     .key = "bytes",
     .title = "bytes sent",
     .help = "Bytes written to streams, FastCGI framing not counted.",
     COUNTER,
     AT(totals.bytes)},
    {.metric = "gaps_total",
     .key = "gaps",
     .title = "gaps",
     .help = "Gap events: streams whose missed rows are deleted.",
     COUNTER,
     AT(totals.gaps)},
    {.metric = "states_total",
     .key = "states",
     .title = "states of tables",
     .help = "States of tables (state=) that were sent whole, each stream counted.",
     COUNTER,
     AT(totals.states)},
    {.metric = "state_bytes_total",
     .key = "state_bytes",
     .help = "Bytes of rows in them.",
     COUNTER,
     AT(totals.state_bytes)},
    {.metric = "publish_requests_total",
     .key = "publish_requests",
     .help = "Requests that published rows.",
     COUNTER,
     AT(totals.publish_requests)},
    {.metric = "published_total",
     .key = "published",
     .title = "rows published over HTTP",
     .help = "Rows published over HTTP.",
     COUNTER,
     AT(totals.published_rows)},
    {.metric = "read_marks_total",
     .key = "read_marks",
     .title = "read marks",
     .help = "Read marks that users have sent.",
     COUNTER,
     AT(totals.read_marks)},
    {.metric = "log_lines_lost_total",
     .key = "log_lines_lost",
     .title = "log lines lost",
     .help = "Lines of the log that could not be written at once.",
     COUNTER,
     AT(totals.log.lines)},
    {.metric = "window_bytes",
     .key = "window_bytes",
     .title = "bytes of newest rows in memory",
     .help = "Memory of the windows of all workers.",
     GAUGE,
     AT(totals.window_bytes)},
    {.metric = "window_limit_bytes",
     .key = "window_limit",
     .help = "Their limit, --window-bytes for each worker.",
     GAUGE,
     AT(window_limit)},
    {.metric = "tail_id",
     .key = "tail",
     .title = "highest id",
     .help = "The id of the newest row.",
     GAUGE,
     .unit = MEASURE_ID,
     AT(tail_id)},
    {.metric = "database_up",
     .key = "database_up",
     .help = "1 while the database can be read.",
     GAUGE,
     AT(database_up)},
    {.metric = "database_errors_total",
     .key = "database_errors",
     .help = "Reads of the database that failed; a lock is none.",
     COUNTER,
     AT(totals.database_errors)},
    {.metric = "follower",
     .key = "follower",
     .help = "1 where the database follows PostgreSQL (rowcast follow), else 0.",
     GAUGE,
     AT(follower)},
    {.metric = "follower_lag_seconds",
     .key = "follower_lag_ms",
     .title = "since the follower had all rows of PostgreSQL",
     .help =
         "For how long the database may have lacked rows that PostgreSQL has; 0: it lacks "
         "none.",
     GAUGE,
     .unit = MEASURE_MS,
     AT(follower_lag_ms)},
    {.metric = "feed_lag_seconds",
     .key = "feed_lag_ms",
     .help = "For how long there have been rows that are not read yet, or the database "
             "cannot be read.",
     GAUGE,
     .unit = MEASURE_MS,
     AT(feed_lag_ms)},
    {.metric = "pruned_rows_total",
     .key = "pruned_rows",
     .title = "rows deleted",
     .help = "Rows deleted by --keep-age and --keep-rows.",
     COUNTER,
     AT(totals.pruned_rows)},
    {.metric = "prunes_total",
     .key = "prunes",
     .help = "Transactions that did so.",
     COUNTER,
     AT(totals.prunes)},
};

const size_t measures_count = sizeof measures_table / sizeof *measures_table;

void
measures_take(struct measures *measures, const struct hub *hub, const struct feed *feed)
{
    const struct hub_config *config = hub_settings(hub);
    hub_totals(hub, &measures->totals);
    measures->time_ms = (uint64_t)clock_unix_ms();
    measures->workers = config->workers;
    measures->worker = config->worker;
    measures->tail_id = (uint64_t)feed_tail(feed);
    measures->window_limit = config->window_bytes * config->workers;
    measures->database_up = feed_trouble(feed) == NULL;
    measures->feed_lag_ms = feed_lag_ms(feed);
    const struct store_follower *follower = feed_follower(feed);
    measures->follower = follower != NULL;
    measures->follower_lag_ms =
        follower == NULL ? 0 : (uint64_t)store_follower_lag_ms(follower, clock_unix_ms());
}

uint64_t
measure_value(const struct measure *measure, const struct measures *measures, int which)
{
    const char *first = (const char *)measures + measure->offset;
    return ((const uint64_t *)(const void *)first)[which];
}
