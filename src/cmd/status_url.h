/* status_url.h - the JSON of a running server's status, by HTTP. */
#ifndef ROWCAST_CMD_STATUS_URL_H
#define ROWCAST_CMD_STATUS_URL_H

#include "base/buf.h"
#include "base/error.h"

#define STATUS_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* GET of the URL with Accept: application/json. Appends the body. Waits, at most ten seconds.
 * Returns 0, or -1 with *error, which says what to do. */
int status_url_get(const char *url, struct buf *body, struct error *error);

#endif
