/* declarative.h - a row as a message that the browser shows by itself, without a service worker:
 * the declarative push message of www.w3.org/TR/push-api, which WebKit understands. Pure. */
#ifndef ROWCAST_PUSH_DECLARATIVE_H
#define ROWCAST_PUSH_DECLARATIVE_H

#include "base/buf.h"
#include "event/row.h"

/* Appends {"web_push":8030,"notification":{...}} with what alerts.js would show for the row: title,
 * body, tag, silence, and where a click leads. page: the absolute URL of the page that asked for
 * it; where the row has no address, or a relative path, it leads there. */
void declarative_append(struct buf *buf, const struct row *row, const char *page);

#endif
