/* curl_loop.h - libcurl's requests on libuv's loop, many at once over shared connections.
 *
 * push/transport.c has one, and makes the requests. Only where rowcast is built with libcurl. */
#ifndef ROWCAST_PUSH_CURL_LOOP_H
#define ROWCAST_PUSH_CURL_LOOP_H

#include <curl/curl.h>
#include <uv.h>

struct curl_loop;

/* A request has finished; of_easy: its CURLOPT_PRIVATE. Called from the loop, never from within a
 * function of this header. The request is to be removed. */
typedef void (*curl_loop_finished_fn)(void *of_easy, CURLcode code);

/* NULL: out of memory. */
struct curl_loop *curl_loop_new(uv_loop_t *uv_loop, curl_loop_finished_fn finished);

/* Starts a request, which stays the caller's. Returns 0, or -1 when out of memory. */
int curl_loop_add(struct curl_loop *loop, CURL *easy);

/* Ends it, finished or not. */
void curl_loop_remove(struct curl_loop *loop, CURL *easy);

/* Closes all connections; all requests are removed before. The loop must run once more for its
 * handles. */
void curl_loop_free(struct curl_loop *loop);

#endif
