/* serve.h - the running responder: gateway, access, hub and feed joined together. */
#ifndef ROWCAST_SERVE_SERVE_H
#define ROWCAST_SERVE_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text_list.h"
#include "base/log.h"

struct serve_settings {
    const char *db;
    const char *table;
    const char *listen; /* NULL: an inherited socket, or plain CGI */
    int64_t listen_mode;
    const char *mount; /* cut off PATH_INFO; NULL: the web server does it */
    int64_t heartbeat_ms;
    int64_t retry_ms;
    int64_t max_streams; /* 0: as many as descriptors allow */
    int64_t max_per_user;
    int64_t max_per_address;
    int64_t connect_rate; /* of an address, a minute; 0: no limit */
    int64_t max_age_ms;
    int64_t max_lag_ms; /* of a follower's file, for /health; 0: no bound */
    int64_t stall_ms;
    int64_t window_bytes;
    int64_t max_event_bytes;
    int64_t workers;
    int64_t keep_age_ms; /* 0: rows are not deleted by age */
    int64_t keep_rows;   /* 0: nor by count */
    int64_t drain_ms;
    int64_t request_timeout_ms;
    struct text_list cors_origins;
    const char *ticket_key_file; /* NULL: no tickets */
    const char *ticket_audience; /* NULL: none */
    bool require_ticket;
    bool presence;
    const char *presence_channel; /* of the rows join and leave; NULL: none */
    int read_marks;               /* enum serve_switch: POST /events/read */
    int revocation;               /* enum serve_switch: rowcast_revocation is followed */
    bool allow_publish;
    bool read_only;             /* something else replicates the file */
    const char *vapid_key_file; /* NULL: no subscriptions to Web Push */
    struct text_list push_hosts;
    int64_t max_push_per_user; /* subscriptions; 0: no limit */
    int64_t max_push_per_address;
    int64_t max_push; /* of all together */
    int log_level;      /* enum log_level */
    const char *log_to; /* as log_parse_to takes it */
    bool no_confine;
    bool check; /* look at everything, and do not serve */
};

/* As the choices "on|off" of an option. */
enum serve_switch { SERVE_ON, SERVE_OFF };

enum serve_kind { SERVE_FASTCGI, SERVE_CGI };

struct listeners;
struct hub_counters;
struct limits;
struct retention_config;

/* The process at hand among those that share the work. */
struct serve_worker {
    struct hub_counters *counters; /* one for each worker */
    size_t count;
    size_t number;                 /* 0 .. count - 1 */
    const struct limits *limits;   /* of all of them together; NULL: none */
    struct hub_pages *pages;       /* likewise; NULL: there is one worker */
    struct hub_channels *channels; /* one for each worker; NULL: there is one worker */
    char *presence_name;           /* this one's; see struct presence_config. NULL: none */
    /* How often the loop proves that it turns, in milliseconds, 0: never. With several workers
     * by adding to *beat, in memory that the parent reads; else to the service manager. */
    uint64_t beat_ms;
    uint64_t *beat;
};

/* What --log-level and --log-to come to, with lost lines counted for a worker. */
struct log_config serve_log_config(const struct serve_settings *settings,
                                   struct hub_counters *counters);

/* What --keep-age and --keep-rows come to, in this worker, which must outlive their use. */
struct retention_config serve_retention(const struct serve_settings *settings,
                                        const struct serve_worker *worker);

/* Serves until SIGTERM or SIGINT (FastCGI: the sockets in listeners) or until the one request of
 * the environment is answered (CGI). Returns 0, or -1 with *error when it cannot start. */
int serve_run(const struct serve_settings *settings, enum serve_kind kind,
              const struct listeners *listeners, const struct serve_worker *worker,
              struct error *error);

#endif
