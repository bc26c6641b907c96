/* channel_list.h - what the streams of this worker have asked for, shared with the other workers.
 *
 * The hub calls it once a second where there are several workers; hub_each_channel (hub/hub.h)
 * reads what they share. */
#ifndef ROWCAST_HUB_CHANNEL_LIST_H
#define ROWCAST_HUB_CHANNEL_LIST_H

struct hub;

/* Writes the names with the most streams, if streams opened or closed since. Its work is bounded as
 * that of hub_each_channel. */
void channel_list_share(struct hub *hub);

#endif
