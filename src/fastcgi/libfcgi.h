/* libfcgi.h - libfcgi, used so that it can never block the loop.
 *
 * FCGX_Accept_r blocks until a request's params have all come, polls for up to two seconds on
 * a Unix socket and again when it closes one, and closes the connection by itself on a
 * malformed start (measured on 2.4.2). So it never sees a web server's socket: a complete,
 * checked request is written, in framing of our own, into a private socket pair, whose other
 * end libfcgi reads. It finds everything there at once (5 µs a request), cannot read beyond
 * the request, and what it does to its end harms no other request. */
#ifndef ROWCAST_FASTCGI_LIBFCGI_H
#define ROWCAST_FASTCGI_LIBFCGI_H

#include "base/error.h"
#include "base/slice.h"

struct libfcgi;

/* Returns NULL with *error when the socket pair cannot be made. Call before installing signal
 * handlers: libfcgi's start-up replaces those of SIGTERM, SIGPIPE and SIGUSR1. */
struct libfcgi *libfcgi_new(struct error *error);
void libfcgi_free(struct libfcgi *fcgi);

/* The CGI environment ("NAME=value", NULL-terminated) of a request's params (name-value pairs,
 * FastCGI specification section 3.4, lengths already checked by fastcgi/parser.c, at most
 * FCGI_PARSER_PARAMS_MAX bytes). Valid until the next call. NULL on failure. */
const char *const *libfcgi_params(struct libfcgi *fcgi, struct slice params);

/* True when standard input is no listening socket: we were started as a plain CGI program. */
bool libfcgi_is_cgi(void);

#endif
