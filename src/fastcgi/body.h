/* body.h - the body of a request, whichever way it came. */
#ifndef ROWCAST_FASTCGI_BODY_H
#define ROWCAST_FASTCGI_BODY_H

#include <stdint.h>

#include "base/buf.h"

#define REQUEST_BODY_MAX 65536 /* bytes that are gathered */

/* What follows the params as FCGI_STDIN (FastCGI specification section 5.3), or stands on a CGI
 * program's standard input (RFC 3875 section 4.2). */
struct request_body {
    struct buf bytes; /* empty where it was not to be gathered, or was more than may be */
    uint64_t came;    /* how many bytes there were; under CGI only what was read */
};

#endif
