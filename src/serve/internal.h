/* internal.h - the program's state, for serve/serve.c (its life), serve/writing.c (what it
 * writes), serve/confine.c (its rights), serve/signals.c (its signals) and serve/dispatch.c (its
 * requests). No other file includes it. */
#ifndef ROWCAST_SERVE_INTERNAL_H
#define ROWCAST_SERVE_INTERNAL_H

#include <uv.h>

#include "serve/serve.h"

#include "base/buf.h"
#include "fastcgi/gateway.h"
#include "base/log.h"
#include "http/request.h"
#include "limits/refusal_log.h"
#include "push/vapid.h"

#define SERVE_SIGNALS 5

struct serve {
    const struct serve_settings *settings;
    const struct serve_worker *worker;
    uv_loop_t loop;
    struct log log;
    struct refusal_log refusal_log;
    struct feed *feed;
    struct hub *hub;
    struct gateway *gateway;
    struct cgi *cgi;
    struct ticket_keys *keys;             /* NULL: no --ticket-key-file */
    struct writer *writer;                /* NULL: this process writes nothing */
    struct publish_endpoint *endpoint;    /* NULL: no --allow-publish, or a CGI's GET */
    struct read_marks *read_marks;        /* NULL: --read-marks off, or a CGI's GET */
    struct presence *presence;            /* NULL: no --presence */
    char vapid_public[VAPID_PUBLIC_TEXT]; /* of --vapid-key-file */
    struct push_endpoint *push;           /* NULL: no --vapid-key-file, or a CGI's GET */
    struct status_stream *status;
    struct revocation_log *revocations; /* NULL: --revocation off */
    struct retention *retention;        /* NULL: rows are not deleted here */
    struct track_watch *track_watch;    /* NULL: another worker has it, or a CGI */
    uv_signal_t signals[SERVE_SIGNALS];
    uv_timer_t drain;
    uv_timer_t beat;   /* the watchdog */
    uv_prepare_t done; /* CGI: looks whether the answer is out */
    uint64_t drain_began_ms;
    struct error
        lost; /* why it must be started again; see feed_confine. Empty: it need not */
    struct buf answer;
    struct buf environment; /* pointers: see serve_environment */
};

/* serve/dispatch.c */

/* Answers a request, or hands its output to the hub, to publishing or to the live status. A
 * gateway_request_fn whose arg is the struct serve. */
void dispatch_request(void *arg, struct output *output, const char *const *envp,
                      const struct request_body *body);

/* serve/waiting.c */

/* Whose answer comes on this output; see gateway_config.waiting. Before it is answered. */
void waiting_note_request(const struct serve *serve, struct output *output,
                          const struct request *request);
extern const struct gateway_waiting waiting_answers;

/* serve/writing.c */

/* Makes what this process is to write, and starts the thread; serve->writer stays NULL where it
 * writes nothing. Returns 0, or -1: *error names the option that wants the database written. */
int serve_init_writer(struct serve *serve, enum serve_kind kind, struct error *error);

bool serve_has_presence(const struct serve *serve);
bool serve_has_read_marks(const struct serve *serve);

/* serve/confine.c */

/* Everything is open: what the process may ask for from now on is a matter of some folders. Before
 * there are threads, which would keep their rights. `listeners`: NULL in a CGI process. What the
 * kernel cannot do is logged, and is no error. */
void serve_confine(struct serve *serve, const struct listeners *listeners);

/* A safety that this system does not have is named in the log. */
void serve_check_sight(const struct serve *serve);

/* serve/signals.c */

/* From now on signals are taken. After the gateway, since libfcgi's start replaces handlers
 * (FCGX_Init). */
void signals_start(struct serve *serve, enum serve_kind kind);

/* Ends the program as SIGTERM does: streams learn it, then the program ends. */
void serve_drain(struct serve *serve, const char *why);

/* Reads the keys of tickets, at the start or again. Returns 0, or -1: *error says what is wrong
 * with the file, and the present keys stay in use. Streams that are open stay open till
 * their tickets end. */
int serve_load_keys(struct serve *serve, struct error *error);

#endif
