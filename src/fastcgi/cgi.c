/* cgi.c - one request and its output, for web servers that start a process for each request.
 *
 * serve/serve.c uses it in place of the gateway. What owns the output is the same as under FastCGI;
 * the process ends with its request. Standard output is a pipe or a socket, or a file when the
 * program is tried by hand. */
#include "config.h"

#include "fastcgi/cgi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse_number.h"
#include "base/queue.h"

struct cgi {
    uv_poll_t poll;
    uv_timer_t stall; /* runs while the answer waits for the pipe */
    uint64_t stall_ms;
    int handles; /* that libuv still knows */
    struct output output;
    bool has_poll; /* a regular file is always writable, and cannot be polled */
    bool wants_write;
    bool done;
};

static void on_event(uv_poll_t *poll, int status, int events);

static struct cgi *
cgi_of(struct output *output)
{
    return queue_item(output, struct cgi, output);
}

static void
cgi_finish(struct cgi *cgi)
{
    cgi->done = true;
    uv_timer_stop(&cgi->stall);
    if (cgi->has_poll)
        uv_poll_stop(&cgi->poll);
}

static void
cgi_watch(struct cgi *cgi)
{
    /* A hang-up or an error is reported without being asked for. UV_DISCONNECT is not used:
     * Apache's mod_cgid half-closes the socket once the request is written. */
    int events = UV_PRIORITIZED | (cgi->wants_write ? UV_WRITABLE : 0);
    if (cgi->has_poll && !cgi->done)
        uv_poll_start(&cgi->poll, events, on_event);
}

static void
cgi_arm_output(struct output *output)
{
    cgi_of(output)->wants_write = true;
    cgi_watch(cgi_of(output));
}

static void
cgi_disarm_output(struct output *output)
{
    cgi_of(output)->wants_write = false;
    cgi_watch(cgi_of(output));
}

static void
on_stall(uv_timer_t *timer)
{
    cgi_finish(timer->data);
}

static void
cgi_start_stall(struct cgi *cgi)
{
    if (cgi->stall_ms > 0)
        uv_timer_start(&cgi->stall, on_stall, cgi->stall_ms, 0);
}

static void
cgi_release_output(struct output *output)
{
    struct cgi *cgi = cgi_of(output);
    if (output_is_clear(output)) {
        cgi_finish(cgi);
        return;
    }
    cgi_start_stall(cgi);
    cgi_arm_output(output);
}

static void
cgi_drop_output(struct output *output)
{
    cgi_finish(cgi_of(output));
}

static void
on_event(uv_poll_t *poll, int status, int events)
{
    struct cgi *cgi = poll->data;
    /* A pipe whose reader is gone reports an error, a socket a hang-up, which libuv turns into
     * what was asked for. */
    if (status < 0 || (events & UV_PRIORITIZED)) {
        if (cgi->output.ops != NULL)
            cgi->output.ops->gone(&cgi->output, GONE_CLOSED);
        cgi_finish(cgi);
        return;
    }
    if (!(events & UV_WRITABLE))
        return;
    if (cgi->output.ops != NULL) {
        cgi->output.ops->writable(&cgi->output);
        return;
    }
    size_t before = output_pending_bytes(&cgi->output);
    if (output_flush(&cgi->output) != OUTPUT_BLOCKED)
        cgi_finish(cgi);
    else if (output_pending_bytes(&cgi->output) < before)
        cgi_start_stall(cgi);
}

struct cgi *
cgi_new(uv_loop_t *loop, uint64_t stall_ms, struct error *error)
{
    static const struct output_transport transport = {cgi_arm_output, cgi_disarm_output,
                                                      cgi_release_output, cgi_drop_output};
    struct stat st;
    struct cgi *cgi = calloc(1, sizeof *cgi);
    if (cgi == NULL || fstat(STDOUT_FILENO, &st) != 0) {
        error_set(error, "standard output cannot be used: %s", strerror(errno));
        free(cgi);
        return NULL;
    }
    cgi->output = (struct output){
        .transport = &transport, .fd = STDOUT_FILENO, .request_id = 1, .plain = true};
    cgi->poll.data = cgi;
    cgi->stall.data = cgi;
    cgi->stall_ms = stall_ms;
    cgi->handles = 1;
    uv_timer_init(loop, &cgi->stall);
    if (S_ISREG(st.st_mode) || uv_poll_init(loop, &cgi->poll, STDOUT_FILENO) != 0)
        return cgi;
    fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    cgi->has_poll = true;
    cgi->handles = 2;
    cgi_watch(cgi);
    return cgi;
}

struct output *
cgi_output(struct cgi *cgi)
{
    return &cgi->output;
}

/* --- the body ---------------------------------------------------------------------------- */

/* True when standard input has something to read, or its end, before the time is over. */
static bool
input_waits(uint64_t until_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready;
    do {
        uint64_t now = uv_hrtime() / 1000000;
        ready = poll(&input, 1, now < until_ms ? (int)(until_ms - now) : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* Reads up to `len` bytes to `to`. 0: the end, an error, or the time is over. */
static size_t
read_input(char *to, size_t len, uint64_t until_ms)
{
    while (input_waits(until_ms)) {
        ssize_t n = read(STDIN_FILENO, to, len);
        if (n >= 0)
            return (size_t)n;
        if (errno != EINTR && errno != EAGAIN)
            break;
    }
    return 0;
}

/* A body that is too long is read and dropped: to end while Apache still writes it would reset the
 * connection. */
static void
skip_input(uint64_t until_ms)
{
    char scratch[4096];
    while (read_input(scratch, sizeof scratch, until_ms) > 0)
        continue;
}

void
cgi_read_body(struct request_body *body, uint64_t timeout_ms)
{
    const char *length = getenv("CONTENT_LENGTH");
    uint64_t until_ms = uv_hrtime() / 1000000 + timeout_ms;
    int64_t len = 0;
    *body = (struct request_body){.came = 0};
    if (length == NULL || *length == '\0')
        return;
    if (parse_count(length, 0, REQUEST_BODY_MAX, &len) != 0) {
        skip_input(until_ms);
        return;
    }
    char *to = buf_reserve(&body->bytes, (size_t)len + 1);
    size_t n = 1;
    while (to != NULL && body->bytes.len < (size_t)len && n > 0) {
        n = read_input(to + body->bytes.len, (size_t)len - body->bytes.len, until_ms);
        body->bytes.len += n;
    }
    body->came = body->bytes.len;
}

/* --- life -------------------------------------------------------------------------------- */

bool
cgi_is_done(const struct cgi *cgi)
{
    return cgi->done;
}

static void
on_closed(uv_handle_t *handle)
{
    struct cgi *cgi = handle->data;
    if (--cgi->handles > 0)
        return;
    output_fini(&cgi->output);
    free(cgi);
}

void
cgi_free(struct cgi *cgi)
{
    if (cgi == NULL)
        return;
    uv_close((uv_handle_t *)&cgi->stall, on_closed);
    if (cgi->has_poll)
        uv_close((uv_handle_t *)&cgi->poll, on_closed);
}
