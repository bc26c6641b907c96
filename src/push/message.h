/* message.h - what a row is as a push message: its text, and the headers of RFC 8030. Pure. */
#ifndef ROWCAST_PUSH_MESSAGE_H
#define ROWCAST_PUSH_MESSAGE_H

#include "base/buf.h"
#include "event/row.h"

/* For rows that do not expire: 28 days, the longest that the large push services keep one. */
#define PUSH_TTL_MAX_S INT64_C(2419200)
#define PUSH_TOPIC_TEXT 33 /* bytes, with a NUL: at most 32 (RFC 8030 section 5.4) */

enum push_length { PUSH_WHOLE, PUSH_SHORT };

struct push_text {
    enum push_length length; /* PUSH_SHORT: the push service takes no more */
    size_t max_event_bytes;  /* as the store has it, for rows that are too large */
    const char *page; /* NULL, or the page that asked for declarative messages: its URL */
};

/* Appends the text of a row: the object of envelope=1 (doc/PROTOCOL.md). One that does not fit
 * a record, or is to be short, is {"id":"7","channel":"orders","too_long":true}, without a channel
 * of more than 512 bytes. With a page it is a declarative message (push/declarative.h), if that
 * fits. */
void push_message_append(struct buf *buf, const struct row *row,
                         const struct push_text *text);

/* TTL in seconds, at least 1: how long the push service keeps the message. */
int64_t push_message_ttl_s(const struct row *row, int64_t now_ms);

/* Topic, by which a newer message replaces one that waits at the push service: a hash of channel,
 * recipient and collapse_key, which it cannot be read from. Returns false where there is no key. */
bool push_message_topic(char out[PUSH_TOPIC_TEXT], const struct row *row);

/* Urgency (RFC 8030 section 5.3): what the row's data says in its member urgency; low for a
 * quiet alert; else normal. Static. */
const char *push_message_urgency(const struct row *row);

#endif
