/* crowd.c - one epoll, one thread, as little work for each event as can be.
 *
 * load.c's thread opens and closes streams and waits; the thread made here reads. They share the
 * atomics of struct crowd and an eventfd. Streams are only closed while the reader is stopped,
 * so that it never sees one go. */
#include "config.h"

#include "crowd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client.h"
#include "event_line.h"

#define BATCH 512
#define OPEN_WAIT_MS 60000

struct stream {
    struct client client;
    struct crowd *crowd;
    int64_t next;    /* number of the row to come */
    char line[64];   /* the beginning of a line that is not whole yet */
    size_t line_len; /* may exceed the buffer */
    bool opened, ended;
};

struct crowd {
    struct crowd_config config;
    pthread_t reader;
    int epoll_fd, done_fd;
    struct stream **streams;
    int count, cap;

    int64_t now_ns; /* of the read whose bytes are being taken; the reader's */
    int64_t fresh;  /* events since the last time they were booked; the reader's */
    _Atomic int64_t events, faults, target, reached_ns;
    _Atomic int64_t opened, opened_target;
    _Atomic bool stop;

    int64_t *delays;
    size_t delays_max;
    _Atomic size_t delays_count;
};

/* --- the reader's thread ------------------------------------------------------------------- */

static void
take_row(struct stream *stream, const char *data, size_t len)
{
    struct crowd *crowd = stream->crowd;
    if (len < EVENT_FILL_AT - 1)
        return;
    int64_t number = event_digits(data + EVENT_NUMBER_AT, EVENT_NUMBER_LEN);

    if (number != stream->next && atomic_fetch_add(&crowd->faults, 1) == 0)
        fprintf(stderr, "load: a stream got row %lld where %lld was due\n",
                (long long)number, (long long)stream->next);
    stream->next = number + 1;
    crowd->fresh++;
    size_t kept = crowd->delays_count;
    if (kept < crowd->delays_max) {
        crowd->delays[kept] =
            crowd->now_ns - event_digits(data + EVENT_STAMP_AT, EVENT_STAMP_LEN);
        crowd->delays_count = kept + 1;
    }
}

static void
take_opening(struct stream *stream, const char *line, size_t len)
{
    const char *opening = stream->crowd->config.opening;

    if (stream->opened ||
        (opening != NULL && (len != strlen(opening) || memcmp(line, opening, len) != 0)))
        return;
    stream->opened = true;
    atomic_fetch_add(&stream->crowd->opened, 1);
}

static void
take_line(struct stream *stream, const char *line, size_t len)
{
    /* The space behind the colon is optional; better-sse leaves it out. */
    size_t at = len > 5 && line[5] == ' ' ? 6 : 5;
    if (len > at + 2 && memcmp(line, "data:", 5) == 0 && memcmp(line + at, "r ", 2) == 0)
        take_row(stream, line + at, len - at);
    else if (!stream->opened)
        take_opening(stream, line, len);
}

static void
keep_piece(struct stream *stream, const char *bytes, size_t len)
{
    if (stream->line_len < sizeof stream->line) {
        size_t room = sizeof stream->line - stream->line_len;
        memcpy(stream->line + stream->line_len, bytes, len < room ? len : room);
    }
    stream->line_len += len;
}

static void
take_bytes(void *arg, const char *bytes, size_t len)
{
    struct stream *stream = arg;

    while (len > 0) {
        const char *end = memchr(bytes, '\n', len);
        size_t piece = end == NULL ? len : (size_t)(end - bytes);
        if (end == NULL || stream->line_len > 0)
            keep_piece(stream, bytes, piece);
        if (end == NULL)
            return;
        if (stream->line_len == 0) {
            take_line(stream, bytes, piece);
        } else {
            size_t room = sizeof stream->line;
            take_line(stream, stream->line,
                      stream->line_len < room ? stream->line_len : room);
            stream->line_len = 0;
        }
        bytes = end + 1;
        len -= piece + 1;
    }
}

static void
read_stream(struct crowd *crowd, struct stream *stream)
{
    if (crowd->delays_max > 0)
        crowd->now_ns = now_ns();
    if (client_read(&stream->client, take_bytes, stream))
        return;
    if (atomic_fetch_add(&crowd->faults, 1) == 0)
        fputs("load: a stream was refused or ended\n", stderr);
    stream->ended = true;
    epoll_ctl(crowd->epoll_fd, EPOLL_CTL_DEL, client_fd(&stream->client), NULL);
}

static void
signal_done(const struct crowd *crowd)
{
    uint64_t one = 1;
    if (write(crowd->done_fd, &one, sizeof one) < 0)
        return; /* it is signalled already */
}

/* Makes what was read visible, and wakes the other thread when it waits for that. */
static void
book(struct crowd *crowd)
{
    int64_t before = crowd->events;
    int64_t after = before + crowd->fresh;
    crowd->fresh = 0;
    if (after != before)
        atomic_store(&crowd->events, after);
    int64_t target = crowd->target;
    if (target >= 0 && after >= target &&
        atomic_compare_exchange_strong(&crowd->target, &target, -1)) {
        crowd->reached_ns = now_ns();
        signal_done(crowd);
    }
    int64_t opened_target = crowd->opened_target;
    if (opened_target >= 0 && crowd->opened >= opened_target &&
        atomic_compare_exchange_strong(&crowd->opened_target, &opened_target, -1))
        signal_done(crowd);
}

static void *
read_all(void *arg)
{
    struct crowd *crowd = arg;
    struct epoll_event events[BATCH];

    while (!crowd->stop) {
        int count = epoll_wait(crowd->epoll_fd, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr != NULL)
                read_stream(crowd, events[i].data.ptr);
        }
        book(crowd);
    }
    return NULL;
}

/* --- the other thread ------------------------------------------------------------------------- */

static int
wait_done(struct crowd *crowd, int timeout_ms)
{
    struct pollfd done = {.fd = crowd->done_fd, .events = POLLIN};
    uint64_t count;

    if (poll(&done, 1, timeout_ms) != 1)
        return -1;
    return read(crowd->done_fd, &count, sizeof count) == (ssize_t)sizeof count ? 0 : -1;
}

/* An eventfd that stays readable in the epoll wakes the reader so that it ends. */
static void
stop_reader(struct crowd *crowd)
{
    int fd = eventfd(1, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};

    atomic_store(&crowd->stop, true);
    epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    pthread_join(crowd->reader, NULL);
    close(fd);
}

static int
start_reader(struct crowd *crowd)
{
    atomic_store(&crowd->stop, false);
    return pthread_create(&crowd->reader, NULL, read_all, crowd);
}

struct crowd *
crowd_new(const struct crowd_config *config)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);

    if (crowd == NULL)
        return NULL;
    crowd->config = *config;
    crowd->target = -1;
    crowd->opened_target = -1;
    crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    crowd->done_fd = eventfd(0, EFD_CLOEXEC);
    if (crowd->epoll_fd < 0 || crowd->done_fd < 0 || start_reader(crowd) != 0) {
        free(crowd);
        return NULL;
    }
    return crowd;
}

static int
open_one(struct crowd *crowd, const char *query, int64_t next)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return -1;
    stream->crowd = crowd;
    stream->next = next;
    crowd->streams[crowd->count] = stream;
    if (client_open(&stream->client, &crowd->config.target, query, crowd->count++) != 0)
        return -1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    return epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, client_fd(&stream->client), &event);
}

int
crowd_open(struct crowd *crowd, int count, const char *query, int64_t next)
{
    if (crowd->count + count > crowd->cap) {
        crowd->cap = crowd->count + count;
        void *streams =
            realloc(crowd->streams, (size_t)crowd->cap * sizeof(struct stream *));
        if (streams == NULL)
            return -1;
        crowd->streams = streams;
    }
    atomic_store(&crowd->opened_target, crowd->count + count);
    for (int i = 0; i < count; i++) {
        if (open_one(crowd, query, next) != 0)
            return -1;
    }
    return wait_done(crowd, OPEN_WAIT_MS);
}

int64_t
crowd_events(const struct crowd *crowd)
{
    return crowd->events;
}

bool
crowd_wait(struct crowd *crowd, int64_t events, int timeout_ms)
{
    atomic_store(&crowd->target, events);
    /* What came before the target was set woke no one. */
    if (crowd->events >= events) {
        int64_t target = events;
        if (atomic_compare_exchange_strong(&crowd->target, &target, -1)) {
            crowd->reached_ns = now_ns();
            return true;
        }
    }
    if (wait_done(crowd, timeout_ms) == 0)
        return true;
    atomic_store(&crowd->target, -1);
    return false;
}

int64_t
crowd_reached_ns(const struct crowd *crowd)
{
    return crowd->reached_ns;
}

int64_t
crowd_faults(const struct crowd *crowd)
{
    return crowd->faults;
}

bool
crowd_keep_delays(struct crowd *crowd, size_t max)
{
    int64_t *delays = max == 0 ? NULL : malloc(max * sizeof *delays);

    if (max > 0 && delays == NULL)
        return false;
    stop_reader(crowd);
    free(crowd->delays);
    crowd->delays = delays;
    crowd->delays_max = max;
    crowd->delays_count = 0;
    return start_reader(crowd) == 0;
}

int64_t *
crowd_delays(struct crowd *crowd, size_t *count)
{
    *count = crowd->delays_count;
    return crowd->delays;
}

void
crowd_mute(struct crowd *crowd, bool mute)
{
    for (int i = 0; i < crowd->count; i++) {
        struct stream *stream = crowd->streams[i];
        struct epoll_event event = {.events = mute ? 0 : EPOLLIN, .data.ptr = stream};
        epoll_ctl(crowd->epoll_fd, EPOLL_CTL_MOD, client_fd(&stream->client), &event);
    }
}

void
crowd_close_all(struct crowd *crowd)
{
    stop_reader(crowd);
    for (int i = 0; i < crowd->count; i++) {
        client_close(&crowd->streams[i]->client);
        free(crowd->streams[i]);
    }
    crowd->count = 0;
    crowd->opened = 0;
    crowd->events = 0;
    start_reader(crowd);
}

void
crowd_free(struct crowd *crowd)
{
    crowd_close_all(crowd);
    stop_reader(crowd);
    close(crowd->epoll_fd);
    close(crowd->done_fd);
    free(crowd->streams);
    free(crowd->delays);
    free(crowd);
}
