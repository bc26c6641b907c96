/* client.h - a page that comes back takes its own old stream's place.
 *
 * A connection that is gone without a word (a phone that changed networks) stays open here for
 * minutes, as its heartbeats vanish into the web server's socket. It counts to the limits
 * meanwhile and keeps its own user out. To end the oldest stream instead would let three tabs
 * at a limit of two chase each other for ever, so a page names itself (client=). */
#ifndef ROWCAST_HUB_CLIENT_H
#define ROWCAST_HUB_CLIENT_H

#include "hub/stream.h"

/* Ends the stream that the request's page has here already: of the same user, or the same
 * address where there is no user, and of the same client=. To be called before the limits are
 * judged. A stream that the page has in another worker is that worker's to end: it sees in
 * hub_pages that the page is here now. */
void client_end_old(struct hub *hub, const struct hub_request *request);

/* Ends the streams whose pages have opened another one in another worker since. To be called
 * now and then: until the next time such a stream counts to the limits. */
void client_end_replaced(struct hub *hub);

/* Makes the stream known as its page's, until it is closed. Without memory it stays unknown. */
void client_remember(struct stream *stream, const char *client); /* NULL: it has none */
void client_forget(struct stream *stream);

#endif
