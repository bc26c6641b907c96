/* hub.h - the streams: opening, fan-out, replay, heartbeats, ends.
 *
 * A stream is a filter and a cursor over the table. New rows go to all streams at the tail at
 * once, packed once for each audience (hub/fanout.c); a stream that is behind, whatever the
 * reason, reads pages until it is at the tail (hub/replay.c). A poll is a stream that is answered
 * with one page (hub/poll.c). Everything runs on the loop's thread; nothing blocks. */
#ifndef ROWCAST_HUB_HUB_H
#define ROWCAST_HUB_HUB_H

#include <uv.h>

#include "base/log.h"
#include "event/filter.h"
#include "event/format.h"
#include "event/start.h"
#include "fastcgi/output.h"
#include "feed/feed.h"
#include "hub/counters.h"
#include "limits/limits.h"
#include "limits/refusal_log.h"

struct hub;

/* For each page that names itself (client=): the worker in which it opened its newest stream. In
 * memory that the workers share. A place is one word, read and written as a whole; see
 * hub/client.h. */
#define HUB_PAGE_PLACES 4096
struct hub_pages {
    struct hash_key key; /* from a page's name to its place */
    uint64_t places[HUB_PAGE_PLACES];
};

/* What the streams of one worker have asked for, in memory that the workers share, so that each of
 * them can report for all. Its worker writes it once a second; see hub/channel_list.c. */
#define HUB_CHANNELS_SHARED 100
struct hub_channels {
    uint32_t version; /* odd: it is being written */
    uint32_t count;
    uint64_t more; /* names beyond these */
    struct hub_channel_count {
        uint64_t streams;
        char name[FILTER_PATTERN_MAX + 1];
    } items[HUB_CHANNELS_SHARED];
};

struct hub_config {
    uint64_t heartbeat_ms; /* 0: off */
    uint64_t stall_ms;     /* 0: never */
    uint64_t max_age_ms;   /* 0: none */
    unsigned retry_ms;
    uint64_t max_streams;            /* of all workers together */
    uint64_t max_here;               /* of this one: its descriptors */
    const struct limits *limits;     /* of users and addresses; NULL: none */
    struct refusal_log *refusal_log; /* NULL: refusals are not logged */
    size_t window_bytes;
    bool starts_cold; /* the window is not filled at the start: there is one reader (CGI) */
    size_t max_event_bytes;
    struct hub_counters *counters; /* one for each worker, outliving the hub */
    size_t workers;                /* how many; at least 1 */
    size_t worker;                 /* which one is this hub's */
    struct hub_pages *pages;       /* of all workers; NULL: there is one worker */
    struct hub_channels *channels; /* one for each worker; NULL: there is one worker */
};

/* Tracked tables by name; the caller's. */
struct hub_tables {
    char *const *names;
    size_t count;
};

/* What a stream needs to know of its request. */
struct hub_request {
    struct filter filter; /* hub_open takes it over */
    enum format format;   /* FORMAT_JSON: a poll */
    enum start_kind start;
    int64_t start_value;      /* see start_kind */
    const char *start_text;   /* START_AFTER, START_BAD_ID: the client's own id; copied */
    const char *address;      /* NULL: not known; copied */
    struct hub_tables tables; /* state=; copied */
    bool is_unreadable;       /* as hub_check_tables has found the database */
    const char *client;       /* the page's name for itself; NULL: it has none; copied */
    uint32_t throttle_ms;     /* 0: none */
    uint32_t wait_s;          /* of a poll */
    uint64_t
        too_often_ms; /* the address has used up its rate: how long it should wait; 0: it has not */
    bool ping; /* heartbeats are events */
    uint64_t
        max_streams; /* refused where so many are open already; 0: no limit of its own */
    int64_t expires_at_ms; /* Unix time when the stream must end; 0: never */
    bool by_ticket;        /* whose ticket says who the user is; else the web server does */
    int64_t since_ms; /* Unix time of that ticket's iat (0: none), else of the request */
    struct slice headers; /* the CGI header block, empty line included; copied */
};

/* Returns NULL with *error. feed must outlive the hub and be started with hub_feed_handlers. */
struct hub *hub_new(uv_loop_t *loop, struct feed *feed, const struct hub_config *config,
                    const struct log *log, struct error *error);
const struct feed_handlers *hub_feed_handlers(void);

/* Checks that the tables are tracked and that the reader may have their rows, and adds the
 * channels of their changes to the filter. Returns 0, or the status of the refusal with *error:
 * 400, 403, 500 when a table is no longer what was tracked, or 503 when the database cannot be
 * read now. */
int hub_check_tables(struct hub *hub, const struct hub_tables *tables,
                     struct filter *filter, struct error *error);

/* Opens a stream on the output, which the hub owns from now on, or answers with a refusal. */
void hub_open(struct hub *hub, struct output *output, struct hub_request *request);

/* From now on the hub ends streams, some in each turn of the loop until hub_streams is 0, and
 * refuses new ones. */
void hub_drain(struct hub *hub);

/* Hears of each stream that opens and ends, but not of polls. */
struct hub_reader {
    const char *user;                /* NULL: anonymous */
    const char *address;             /* NULL: not known */
    const struct patterns *channels; /* as requested; none: all */
};
struct hub_watcher {
    /* `ended` gets what this returns. NULL: `ended` is not called for the stream. */
    void *(*opened)(void *arg, const struct hub_reader *reader);
    void (*closed)(void *arg, void *mark, const struct hub_reader *reader);
    void *arg;
};
/* Before the first stream. Copied; NULL: none. */
void hub_watch_readers(struct hub *hub, const struct hub_watcher *watcher);

/* Where the name of a stream's user comes from, and since when it holds; see hub_request. */
struct hub_login {
    const char *user;
    bool by_ticket;
    int64_t since_ms;
};
typedef bool (*hub_login_fn)(void *arg, const struct hub_login *login);

/* Ends all streams and polls of users for whom is_over says so, with the word "revoked". */
void hub_end_revoked(struct hub *hub, hub_login_fn is_over, void *arg);

/* False when there are --max-streams in all workers, including answers that readers have not
 * taken. */
bool hub_has_room(const struct hub *hub);

/* Open streams of this worker; settings; the sum of the counters of all workers. */
size_t hub_streams(const struct hub *hub);
const struct hub_config *hub_settings(const struct hub *hub);
void hub_totals(const struct hub *hub, struct hub_counters *totals);

/* An open stream for a report; all of it valid until the callback returns. */
struct hub_stream_info {
    uint64_t serial;
    const char *user;                /* NULL: anonymous */
    const char *address;             /* NULL: not known */
    const struct patterns *channels; /* as requested; none: all */
    enum format format;
    const char *state;
    uint64_t age_ms;
    int64_t cursor;
    int64_t distance; /* ids between the cursor and the tail */
    uint64_t events, bytes;
};
typedef void (*hub_stream_fn)(void *arg, const struct hub_stream_info *info);

/* Calls fn for at most `most` open streams of this worker, blocked ones first. Returns how many
 * more there are. */
size_t hub_each_stream(const struct hub *hub, size_t most, hub_stream_fn fn, void *arg);

/* Calls fn for at most `most` channels and patterns that open streams of all workers have asked
 * for ("*": all channels), with the number of these streams, the largest first. The numbers of
 * other workers are at most a second old. Returns how many more there are. Where streams name very
 * many, some are not counted, and a name may count twice in the result. */
typedef void (*hub_channel_fn)(void *arg, const char *channel, size_t streams);
size_t hub_each_channel(const struct hub *hub, size_t most, hub_channel_fn fn, void *arg);

/* For a worker that has died: nothing is open any more. */
void hub_channels_forget(struct hub_channels *channels);

/* Drops the remaining streams. The loop must run once more, for handles to close. */
void hub_free(struct hub *hub);

#endif
