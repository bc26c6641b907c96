/* client.h - a page that comes back takes its own old stream's place.
 *
 * A connection that is gone without a word (a phone that changed networks) stays open here for
 * minutes, as its heartbeats vanish into the web server's socket. It counts to the limits
 * meanwhile and keeps its own user out. To end the oldest stream instead would let three tabs
 * at a limit of two chase each other for ever, so a page names itself (client=). */
#ifndef ROWCAST_HUB_CLIENT_H
#define ROWCAST_HUB_CLIENT_H

#include "hub/stream.h"

/* Ends the stream that the request's page has in this worker: one of the same client= and the same
 * user (or the same address, if there is no user). To be called before the limits are checked. If
 * the page has a stream in another worker, that worker ends it: it sees in hub_pages that the page
 * is here now. */
void client_end_old(struct hub *hub, const struct hub_request *request);

/* Ends the streams whose pages have opened another stream in another worker since. To be called
 * from time to time: until the next call such a stream counts to the limits. */
void client_end_replaced(struct hub *hub);

/* Remembers that the stream is its page's, until it is closed. Without memory the page is not
 * remembered. */
void client_remember(struct stream *stream, const char *client); /* NULL: it has none */
void client_forget(struct stream *stream);

#endif
