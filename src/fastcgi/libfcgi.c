/* libfcgi.c - the only file that includes fcgiapp.h; the reason for its detour is in
 * fastcgi/libfcgi.h. */
#include "config.h"

#include "fastcgi/libfcgi.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcgiapp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "fastcgi/parser.h"
#include "fastcgi/records.h"

/* Room for the params and their framing on the way through the kernel, whatever the system's
 * default is; the kernel doubles it for its own bookkeeping. */
#define FCGI_PAIR_BYTES (4 * FCGI_PARSER_PARAMS_MAX)
#define FCGI_PARAMS_PART 32768 /* bytes of params in one record */

struct libfcgi {
    int pair[2]; /* we write to [0], libfcgi reads [1] */
    FCGX_Request request;
    bool used; /* request holds memory */
    struct buf bytes;
};

static int
libfcgi_open_pair(struct libfcgi *fcgi)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fcgi->pair) != 0) {
        fcgi->pair[0] = fcgi->pair[1] = -1;
        return -1;
    }
    int bytes = FCGI_PAIR_BYTES;
    setsockopt(fcgi->pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return 0;
}

static void
libfcgi_close_pair(struct libfcgi *fcgi)
{
    for (int i = 0; i < 2; i++) {
        if (fcgi->pair[i] >= 0)
            close(fcgi->pair[i]);
        fcgi->pair[i] = -1;
    }
}

struct libfcgi *
libfcgi_new(struct error *error)
{
    struct libfcgi *fcgi = calloc(1, sizeof *fcgi);
    if (fcgi == NULL || FCGX_Init() != 0 || libfcgi_open_pair(fcgi) != 0) {
        error_set(error, "cannot set up libfcgi: %s", strerror(errno));
        free(fcgi);
        return NULL;
    }
    return fcgi;
}

static void
libfcgi_release(struct libfcgi *fcgi)
{
    if (!fcgi->used)
        return;
    fcgi->request.ipcFd = -1; /* the descriptor is ours: libfcgi must not close it */
    FCGX_Free(&fcgi->request, 0);
    fcgi->used = false;
}

void
libfcgi_free(struct libfcgi *fcgi)
{
    if (fcgi == NULL)
        return;
    libfcgi_release(fcgi);
    libfcgi_close_pair(fcgi);
    buf_fini(&fcgi->bytes);
    free(fcgi);
}

/* The request as libfcgi gets it: begin, params, no stdin (it is not read). */
static int
libfcgi_frame(struct libfcgi *fcgi, struct slice params)
{
    unsigned char begin[2 * RECORD_HEADER] = {0};
    record_put_header(begin, FCGI_BEGIN_REQUEST, 1, RECORD_HEADER);
    begin[RECORD_HEADER + 1] = FCGI_RESPONDER;
    begin[RECORD_HEADER + 2] = FCGI_KEEP_CONN;
    buf_clear(&fcgi->bytes);
    buf_append(&fcgi->bytes, begin, sizeof begin);

    size_t len;
    do { /* the last record is the empty one that ends the params */
        len = params.len < FCGI_PARAMS_PART ? params.len : FCGI_PARAMS_PART;
        unsigned char header[RECORD_HEADER];
        record_put_header(header, FCGI_PARAMS, 1, len);
        buf_append(&fcgi->bytes, header, sizeof header);
        buf_append(&fcgi->bytes, params.p, len);
        params.p += len;
        params.len -= len;
    } while (len > 0);
    return fcgi->bytes.failed ? -1 : 0;
}

static int
libfcgi_accept(struct libfcgi *fcgi)
{
    ssize_t n =
        send(fcgi->pair[0], fcgi->bytes.p, fcgi->bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n != (ssize_t)fcgi->bytes.len)
        return -1;
    if (FCGX_InitRequest(&fcgi->request, -1, 0) != 0)
        return -1;
    fcgi->used = true;
    fcgi->request.keepConnection = 1;
    fcgi->request.ipcFd = fcgi->pair[1];
    if (FCGX_Accept_r(&fcgi->request) == 0)
        return 0;
    if (fcgi->request.ipcFd < 0)
        fcgi->pair[1] = -1; /* libfcgi has closed it: the number may be another's by now */
    return -1;
}

const char *const *
libfcgi_params(struct libfcgi *fcgi, struct slice params)
{
    libfcgi_release(fcgi);
    if (fcgi->pair[0] < 0 && libfcgi_open_pair(fcgi) != 0)
        return NULL;
    if (libfcgi_frame(fcgi, params) != 0)
        return NULL;
    if (libfcgi_accept(fcgi) != 0) {
        /* Whatever is left in the pair must not become part of the next request. */
        libfcgi_release(fcgi);
        libfcgi_close_pair(fcgi);
        return NULL;
    }
    return (const char *const *)fcgi->request.envp;
}

bool
libfcgi_is_cgi(void)
{
    return FCGX_IsCGI() != 0;
}
