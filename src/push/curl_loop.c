/* curl_loop.c - libcurl's multi interface on libuv's loop; see push/curl_loop.h.
 *
 * libcurl says which sockets it waits for (on_socket) and when it wants to be called next
 * (on_timeout); libuv calls it then (curl.se/libcurl/c/curl_multi_socket_action.html). After each
 * such call the requests that have finished are handed over. It does not know what a request is
 * for. */
#include "config.h"

#include <uv.h>

#ifdef HAVE_CURL
#include "push/curl_loop.h"

#include <stdlib.h>

#define CONNECTIONS_OF_HOST 8L
#define CONNECTIONS_KEPT 64L
#define STREAMS_OF_CONNECTION 100L

struct curl_loop {
    CURLM *multi;
    uv_timer_t timer;
    curl_loop_finished_fn finished;
};

struct watched {
    struct curl_loop *loop;
    uv_poll_t poll;
    curl_socket_t socket;
};

static void
take_finished(struct curl_loop *loop)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        void *of_easy = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&of_easy);
        loop->finished(of_easy, code);
    }
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct watched *watched = poll->data;
    struct curl_loop *loop = watched->loop;
    int running;
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
                (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0) |
                (status < 0 ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(loop->multi, watched->socket, flags, &running);
    take_finished(loop);
}

static void
on_timer(uv_timer_t *timer)
{
    struct curl_loop *loop = timer->data;
    int running;
    curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(loop);
}

/* Never from within: libcurl may be at work. */
static int
on_timeout(CURLM *multi, long ms, void *arg)
{
    struct curl_loop *loop = arg;
    (void)multi;
    if (ms < 0)
        uv_timer_stop(&loop->timer);
    else
        uv_timer_start(&loop->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

static void
on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct watched *
watch_socket(struct curl_loop *loop, curl_socket_t socket)
{
    struct watched *watched = calloc(1, sizeof *watched);
    if (watched == NULL)
        return NULL;
    watched->loop = loop;
    watched->socket = socket;
    if (uv_poll_init_socket(loop->timer.loop, &watched->poll, socket) != 0) {
        free(watched);
        return NULL;
    }
    watched->poll.data = watched;
    curl_multi_assign(loop->multi, socket, watched);
    return watched;
}

static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *of_socket)
{
    struct curl_loop *loop = arg;
    struct watched *watched = of_socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL) {
            curl_multi_assign(loop->multi, socket, NULL);
            uv_poll_stop(&watched->poll);
            uv_close((uv_handle_t *)&watched->poll, on_poll_closed);
        }
        return 0;
    }
    if (watched == NULL)
        watched = watch_socket(loop, socket);
    if (watched == NULL)
        return -1;
    int events =
        (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&watched->poll, events, on_poll) == 0 ? 0 : -1;
}

int
curl_loop_add(struct curl_loop *loop, CURL *easy)
{
    return curl_multi_add_handle(loop->multi, easy) == CURLM_OK ? 0 : -1;
}

void
curl_loop_remove(struct curl_loop *loop, CURL *easy)
{
    curl_multi_remove_handle(loop->multi, easy);
}

struct curl_loop *
curl_loop_new(uv_loop_t *uv_loop, curl_loop_finished_fn finished)
{
    struct curl_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (loop->multi = curl_multi_init()) == NULL) {
        free(loop);
        return NULL;
    }
    CURLM *multi = loop->multi;
    loop->finished = finished;
    uv_timer_init(uv_loop, &loop->timer);
    loop->timer.data = loop;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_OF_HOST);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, STREAMS_OF_CONNECTION);
    return loop;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void
curl_loop_free(struct curl_loop *loop)
{
    curl_multi_cleanup(loop->multi);
    curl_global_cleanup();
    uv_timer_stop(&loop->timer);
    uv_close((uv_handle_t *)&loop->timer, on_timer_closed);
}

#endif
