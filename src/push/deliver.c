/* deliver.c - the way of one message: made from a row and encrypted, sent, answered.
 *
 * push/sender.c calls deliver_all when rows have come or waits are over. push/next_row.c finds the
 * row, push/outcome.c does what the answer says. Encrypting is work for libuv's threads while the
 * loop sends what is ready (push/transport.c). A subscription has at most one message under way, so
 * its rows go in order. */
#include "config.h"

#include "push/sender_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "push/ece.h"
#include "push/next_row.h"
#include "push/outcome.h"

#define PROBE_WAIT_MS 1000 /* for the answer of the one request to a service that is down */

struct message {
    uv_work_t work;
    struct sender *sender;
    struct sent sent;
    const struct vapid_key *key;
    char *endpoint;
    struct ece_keys keys;
    struct buf text, body;
    char topic[PUSH_TOPIC_TEXT];
    bool has_topic;
    const char *urgency;
    int64_t ttl_s;
    bool failed; /* no memory to encrypt */
    struct error error;
};

static void
message_free(struct message *message)
{
    if (message == NULL)
        return;
    free(message->endpoint);
    buf_fini(&message->text);
    buf_fini(&message->body);
    free(message);
}

/* --- turns of the services ---------------------------------------------------------- */

/* How many requests one service may have under way: while it hangs, a quarter is left for the
 * others. */
static int64_t
share(const struct sender *sender)
{
    const struct service *first = sender->services.first;
    bool is_alone = first == NULL || first->next == NULL;
    return sender->config.most_open - (is_alone ? 0 : sender->config.most_open / 4);
}

/* The service takes part in the turns, if it has a subscriber that is ready and room for it. */
static void
offer(struct sender *sender, struct service *service)
{
    if (queue_head(&service->ready) != NULL && service->open < share(sender) &&
        !queue_is_linked(&service->link))
        queue_push(&sender->ready, &service->link);
}

void
deliver_later(struct sender *sender, struct subscriber *subscriber)
{
    if (subscriber->place != SUBSCRIBER_IDLE || subscriber->service == NULL ||
        subscriber->key == NULL || subscriber->due_ms > uv_now(sender->loop) ||
        subscriber->cursor >= sender->cursor.id)
        return;
    subscriber->place = SUBSCRIBER_READY;
    queue_push(&subscriber->service->ready, &subscriber->link);
    offer(sender, subscriber->service);
}

/* --- the end of a message ----------------------------------------------------------- */

static void
close_message(struct message *message)
{
    struct sender *sender = message->sender;
    message->sent.service->open--;
    message->sent.service->is_probed = false;
    sender->open--;
    offer(sender, message->sent.service);
    message_free(message);
    sender_free_rest(sender);
}

static void
apply_answer(const struct message *message, const struct transport_answer *answer)
{
    if (outcome_apply(message->sender, &message->sent, answer) != PUSH_ENDED)
        deliver_later(message->sender, message->sent.subscriber);
}

static void
on_answer(void *arg, const struct transport_answer *answer)
{
    struct message *message = arg;
    struct sender *sender = message->sender;
    struct subscriber *subscriber = message->sent.subscriber;
    bool is_ending = sender->is_ending;
    if (is_ending)
        subscriber->place = SUBSCRIBER_IDLE;
    if (subscriber->is_gone)
        subscriber_free(subscriber);
    else if (!is_ending)
        apply_answer(message, answer);
    close_message(message);
    if (!is_ending)
        deliver_all(sender);
}

/* --- making and sending ------------------------------------------------------------- */

static void
encrypt(uv_work_t *work)
{
    struct message *message = work->data;
    message->failed = ece_encrypt(&message->body, &message->keys, buf_slice(&message->text),
                                  NULL, &message->error) != 0;
}

static int
send_message(struct message *message)
{
    struct sender *sender = message->sender;
    const char *authorization = service_authorization(
        &sender->services, message->sent.service, message->key, clock_unix_ms());
    const struct transport_request request = {
        .url = message->endpoint,
        .may_be_private = message->sent.service->origin.is_own,
        .authorization = authorization,
        .urgency = message->urgency,
        .topic = message->has_topic ? message->topic : NULL,
        .ttl_s = message->ttl_s,
        .body = buf_slice(&message->body),
        .done = on_answer,
        .arg = message};
    return message->failed || authorization == NULL
               ? -1
               : transport_send(sender->transport, &request);
}

static void
on_encrypted(uv_work_t *work, int status)
{
    struct message *message = work->data;
    static const struct transport_answer none = {.why = "out of memory"};
    if (message->sender->is_ending || status != 0) {
        message->sent.subscriber->place = SUBSCRIBER_IDLE;
        if (message->sent.subscriber->is_gone)
            subscriber_free(message->sent.subscriber);
        close_message(message);
    } else if (send_message(message) != 0) {
        on_answer(message, &none);
    }
}

static struct message *
message_new(struct sender *sender, struct subscriber *subscriber, const struct row *row)
{
    struct message *message = calloc(1, sizeof *message);
    if (message == NULL)
        return NULL;
    const struct push_text text = {.length = subscriber->short_id == row->id ? PUSH_SHORT
                                                                             : PUSH_WHOLE,
                                   .max_event_bytes = ECE_TEXT_MAX,
                                   .page = subscriber->page};
    message->work.data = message;
    message->sender = sender;
    message->sent = (struct sent){subscriber, subscriber->service, row->id, text.length};
    message->key = subscriber->key;
    message->keys = subscriber->keys;
    message->endpoint = strdup(subscriber->endpoint);
    message->urgency = push_message_urgency(row);
    message->ttl_s = push_message_ttl_s(row, clock_unix_ms());
    message->has_topic = push_message_topic(message->topic, row);
    push_message_append(&message->text, row, &text);
    if (message->endpoint != NULL && !message->text.failed)
        return message;
    message_free(message);
    return NULL;
}

/* For next_row_find: the message is made while the row is valid. */
struct maker {
    struct sender *sender;
    struct subscriber *subscriber;
    struct message *message; /* NULL: none yet */
};

static int
make_message(void *arg, const struct row *row)
{
    struct maker *maker = arg;
    maker->message = message_new(maker->sender, maker->subscriber, row);
    return maker->message != NULL ? 0 : -1;
}

/* --- starting ----------------------------------------------------------------------- */

/* False: its service is down, and another request finds out whether it still is. */
static bool
may_ask(struct sender *sender, struct subscriber *subscriber)
{
    struct service *service = subscriber->service;
    uint64_t now = uv_now(sender->loop);
    if (service == NULL || !service_is_down(service))
        return true;
    if (!service->is_probed && service->open == 0 && service->due_ms <= now)
        return true;
    subscriber->due_ms = service->due_ms > now ? service->due_ms : now + PROBE_WAIT_MS;
    subscriber->waits_for_service = true;
    return false;
}

static void
start(struct sender *sender, struct subscriber *subscriber, struct message *message)
{
    subscriber->place = SUBSCRIBER_BUSY;
    message->sent.service->open++;
    message->sent.service->is_probed = service_is_down(message->sent.service);
    sender->open++;
    uv_queue_work(sender->loop, &message->work, encrypt, on_encrypted);
}

/* What next_row_find found, or did not find. */
static void
proceed(struct sender *sender, const struct next_row *search, struct message *message)
{
    struct subscriber *subscriber = search->subscriber;
    if (!search->is_stored)
        subscribers_drop(&sender->subscribers, subscriber);
    else if (subscriber->is_over)
        sender_end(sender, subscriber);
    else if (message != NULL)
        start(sender, subscriber, message);
    else
        deliver_later(sender,
                      subscriber); /* there may be more rows than one search reads */
}

/* Returns 0, or -1 when the database is locked: the subscription stays in its queue. */
static int
deliver_one(struct sender *sender, struct subscriber *subscriber)
{
    struct maker maker = {.sender = sender, .subscriber = subscriber};
    struct next_row search = {
        .sender = sender, .subscriber = subscriber, .take = make_message, .arg = &maker};
    struct error ignored = {""}; /* the sender's turn meets a broken database and says so */
    int64_t before = subscriber->cursor;
    if (!may_ask(sender, subscriber)) {
        search.is_stored = true; /* as far as is known */
    } else if (next_row_find(&search, &ignored) != STORE_OK) {
        message_free(maker.message);
        return -1;
    }
    queue_remove(&subscriber->link);
    subscriber->place = SUBSCRIBER_IDLE;
    if (search.is_stored && search.has_passed && subscriber->cursor != before)
        sender_note(sender, subscriber);
    proceed(sender, &search, maker.message);
    return 0;
}

/* Services take turns, one message each. One that is at its share is offered again when one of its
 * messages is done with. */
void
deliver_all(struct sender *sender)
{
    struct queue_link *link;
    while (!sender->is_ending && sender->store != NULL &&
           sender->open < sender->config.most_open &&
           (link = queue_head(&sender->ready)) != NULL) {
        struct service *service = queue_item(link, struct service, link);
        struct queue_link *first = queue_head(&service->ready);
        queue_remove(link);
        if (first == NULL || service->open >= share(sender))
            continue;
        int result = deliver_one(sender, queue_item(first, struct subscriber, link));
        offer(sender, service);
        if (result != 0)
            return;
    }
}
