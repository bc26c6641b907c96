/* stage.h - a hub on a real database, with readers at its sockets, all on one loop: for tests.
 *
 * A stage has a folder of its own, the application's connection to the database, a feed and a
 * hub. A reader is both ends of a connection: the output that the hub writes to, kept by a small
 * stand-in for the gateway, and the web server's end, where what has come is taken apart. */
#ifndef ROWCAST_TESTS_STAGE_H
#define ROWCAST_TESTS_STAGE_H

#include <sqlite3.h>
#include <uv.h>

#include "feed/feed.h"
#include "hub/hub.h"
#include "base/log.h"
#include "peer.h"
#include "store/store.h"
#include "fastcgi/output.h"

#define STAGE_READERS_MAX 64

/* Waits for a condition; fails the test when it does not come true at all. No test says how soon
 * it must. */
#define STAGE_PATIENCE_S 60
#define WAIT(stage, condition)                                                             \
    do {                                                                                   \
        for (uint64_t wait_began = uv_hrtime(); !(condition);) {                           \
            stage_turn(stage);                                                             \
            if (uv_hrtime() - wait_began > STAGE_PATIENCE_S * UINT64_C(1000000000))        \
                fail_msg("waited in vain for %s", #condition);                             \
        }                                                                                  \
    } while (0)

struct reader;

struct stage {
    uv_loop_t loop;
    uv_timer_t tick; /* ends a wait for events now and then */
    struct log log;
    char folder[64];
    char path[96];
    sqlite3 *db; /* the application's connection */
    int64_t base;
    struct feed *feed;
    struct hub *hub;
    struct hub_counters counters; /* the hub's, of its whole life */
    struct error error;
    struct reader *readers[STAGE_READERS_MAX];
    size_t reader_count;
    /* NULL, or told when the program's own code begins and ends to run: to inject faults. */
    void (*on_program)(bool begins);
};

struct stage_config {
    struct hub_config hub;      /* zero: no timers, no limits, a window of 4 MiB */
    enum store_journal journal; /* STORE_JOURNAL_KEEP: a rollback journal */
};

/* One event, as a browser sees it. */
struct told {
    int64_t id; /* the last event id when it came, 0: none; less the stage's base */
    char *type;
    char *data;
    size_t data_len;
};

struct reader {
    struct stage *stage;
    struct output output; /* our end */
    uv_poll_t poll;
    bool wants_write;
    bool released; /* wire->ops->release was called */
    bool dropped;  /* wire->ops->drop was called */
    bool closed;   /* our end is closed */
    int refused;   /* the status when the request was no stream's; 0: it was */
    int fd;        /* the web server's end; -1: it has hung up */
    bool idle;     /* does not read by itself */
    bool at_end;   /* has read the end of file */
    struct buf raw;
    struct peer_answer answer; /* of raw, as far as it was parsed */
    size_t parsed;             /* bytes of raw that the below speaks of */
    struct slice headers; /* of the answer, with the empty line; p NULL: not there yet */
    struct slice body;
    struct told *events; /* of an event stream's body */
    size_t event_count, event_cap;
    int64_t retry_ms;
};

/* How a reader comes in. Zero: anonymous, an event stream of all channels, from now on. */
struct visit {
    const char *query;         /* QUERY_STRING */
    const char *last_event_id; /* the header */
    const char *user;
    const char *accept;
    const char *address;
    uint16_t request_id; /* 0: 1 */
    int send_bytes;      /* of our socket's buffer; 0: plenty */
    bool idle;
};

void stage_open(struct stage *stage, const struct stage_config *config);

/* Ends what is left, sees that nothing is: no streams, no handles, no descriptors of its own. */
void stage_close(struct stage *stage);

/* The hub and the feed alone, anew: as after a restart. */
void stage_start_hub(struct stage *stage, const struct hub_config *config);
void stage_stop_hub(struct stage *stage);

/* As the application; the format is sqlite3_mprintf's (%Q quotes a text, or is NULL). */
void stage_sql(struct stage *stage, const char *format, ...);
int64_t stage_ask(struct stage *stage, const char *sql);

/* INSERT of one row with channel and data. */
void stage_insert(struct stage *stage, const char *channel, const char *data);

/* Moves another database into the place of this one; a new and empty one. */
void stage_put_in_place(struct stage *stage, const char *path);
void stage_replace_database(struct stage *stage);

/* What the hub has written to its log. */
bool stage_has_logged(const struct stage *stage, const char *text);

/* Waits for events for some milliseconds at the most, then lets the readers read. */
void stage_turn(struct stage *stage);

/* One turn of the loop that does not wait, and nobody reads. */
void stage_step(struct stage *stage);

struct reader *stage_visit(struct stage *stage, const struct visit *visit);

/* Frees all readers; the hub must be stopped. */
void stage_forget_readers(struct stage *stage);

/* Reads what is there. The functions below take it apart; a malformed answer fails the test. */
void reader_read(struct reader *reader);

/* The web server is gone. */
void reader_hang_up(struct reader *reader);

/* Fills our socket to the brim with comments, so that the next byte has no room. */
void reader_stuff(struct reader *reader);

/* Events that are rows: those not of a type of our own. */
size_t reader_rows(struct reader *reader);
bool reader_has_row(struct reader *reader, const char *data);
bool reader_has_text(struct reader *reader, const char *text);
bool reader_has_ended(struct reader *reader); /* END_REQUEST is there */

/* All events as one line: "open:0 1:message:hello gap:pruned:1-3 4:paid:x". Ids less the base.
 * Valid until the next call. */
const char *reader_transcript(struct reader *reader);

#endif
