/* deliver.c - one message's way: the next row of a subscription, made and encrypted, sent, and what
 * the answer means.
 *
 * push/sender.c calls deliver_all when rows have come or waits are over. Encrypting is work for
 * libuv's threads while the loop sends what is ready (push/transport.c). At most one message of a
 * subscription is under way, so its rows go in order. */
#include "config.h"

#include "push/sender_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "push/answer.h"
#include "push/ece.h"

#define MAX_PASSED 1000 /* rows that are looked at for one subscription in one go */

struct message {
    uv_work_t work;
    struct sender *sender;
    struct subscriber *subscriber;
    struct service *service;
    const struct vapid_key *key;
    char *endpoint;
    struct ece_keys keys;
    int64_t row_id;
    enum push_length length;
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

/* --- waiting ------------------------------------------------------------------------ */

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

/* The service works again: those that failed with it need not wait any longer, but for what it has
 * asked for. Over a second, so that it is not overrun. */
static void
wake_others(struct sender *sender, const struct service *service)
{
    uint64_t now = uv_now(sender->loop);
    for (size_t i = 0; i < sender->subscribers.count; i++) {
        struct subscriber *other = sender->subscribers.items[i];
        if (other->service != service || !other->waits_for_service)
            continue;
        uint64_t due = now + random_up_to(1000);
        other->waits_for_service = false;
        other->due_ms = due > other->asked_ms ? due : other->asked_ms;
    }
}

/* --- what the answer means ---------------------------------------------------------- */

static void
log_failure(const struct sender *sender, const struct subscriber *subscriber)
{
    char ref[PUSH_REF_MAX];
    if (subscriber->failures != 1)
        return;
    log_line(sender->config.log, LOG_WARN,
             "push failed endpoint=%s status=%d why=\"%s\": tried again later",
             push_endpoint_ref(ref, subscriber->endpoint), subscriber->status,
             subscriber->why);
}

static void
note_service(struct sender *sender, struct service *service, enum push_outcome outcome,
             const struct transport_answer *answer)
{
    bool was_down = service_is_down(service);
    if (outcome == PUSH_UNAVAILABLE) {
        service->failures++;
        int64_t pause = push_backoff_ms(service->failures - SERVICE_DOWN_FAILURES,
                                        random_up_to(1 << 20));
        if (pause > SERVICE_PAUSE_MAX_MS)
            pause = SERVICE_PAUSE_MAX_MS;
        service->due_ms = uv_now(sender->loop) + (uint64_t)pause;
        if (!was_down && service_is_down(service))
            log_line(sender->config.log, LOG_WARN,
                     "push service %s does not work: status=%d why=\"%s\"",
                     service->origin.text, answer->status, answer->why);
        return;
    }
    if (was_down)
        log_line(sender->config.log, LOG_INFO, "push service %s works again",
                 service->origin.text);
    if (service->failures > 0) {
        service->failures = 0;
        wake_others(sender, service);
    }
}

/* Failed: waits, as long as the service asks for and at least as long as we do of our own. */
static void
postpone(struct sender *sender, struct subscriber *subscriber, enum push_outcome outcome,
         const struct transport_answer *answer)
{
    uint64_t now = uv_now(sender->loop);
    int64_t asked = answer->retry_after[0] == '\0'
                        ? -1
                        : push_answer_wait_ms(answer->retry_after, clock_unix_ms());
    subscriber->failures++;
    int64_t wait = push_backoff_ms(subscriber->failures, random_up_to(1 << 20));
    subscriber->asked_ms = asked > 0 ? now + (uint64_t)asked : 0;
    subscriber->due_ms = now + (uint64_t)(asked > wait ? asked : wait);
    subscriber->waits_for_service = outcome == PUSH_UNAVAILABLE;
    subscriber->status = answer->status;
    snprintf(subscriber->why, sizeof subscriber->why, "%s",
             answer->status == 0     ? answer->why
             : answer->status == 413 ? "too large"
             : answer->status == 429 ? "too many messages"
             : answer->status >= 500 ? "the push service fails"
             : answer->status < 400  ? "no answer of a push service"
                                     : "refused");
    sender->counts.failed++;
    log_failure(sender, subscriber);
    sender_note(sender, subscriber);
}

static void
succeed(struct sender *sender, struct subscriber *subscriber, int64_t row_id, int status)
{
    subscriber->cursor = row_id;
    subscriber->failures = 0;
    subscriber->due_ms = subscriber->asked_ms = 0;
    subscriber->waits_for_service = false;
    subscriber->status = status;
    subscriber->why[0] = '\0';
    sender->counts.sent++;
    sender_note(sender, subscriber);
}

static void
log_end(const struct sender *sender, const struct subscriber *subscriber, int status)
{
    char ref[PUSH_REF_MAX];
    log_line(
        sender->config.log, LOG_INFO,
        "push subscription ended endpoint=%s status=%d: the push service does not know it",
        push_endpoint_ref(ref, subscriber->endpoint), status);
}

static void
judge_answer(struct sender *sender, struct message *message, struct subscriber *subscriber,
             const struct transport_answer *answer)
{
    enum push_outcome outcome = push_answer_judge(answer->status);
    note_service(sender, message->service, outcome, answer);
    if (answer->status == 401 || answer->status == 403)
        service_forget_tokens(message->service);
    subscriber->place = SUBSCRIBER_IDLE;
    if (outcome == PUSH_SENT) {
        succeed(sender, subscriber, message->row_id, answer->status);
    } else if (outcome == PUSH_ENDED) {
        log_end(sender, subscriber, answer->status);
        sender_end(sender, subscriber);
        return;
    } else if (outcome == PUSH_TOO_LONG && message->length == PUSH_WHOLE) {
        subscriber->short_id = message->row_id;
    } else {
        postpone(sender, subscriber, outcome, answer);
    }
    deliver_later(sender, subscriber);
}

/* A message is done with, whatever came of it. */
static void
close_message(struct message *message)
{
    struct sender *sender = message->sender;
    message->service->open--;
    message->service->is_probed = false;
    sender->open--;
    offer(sender, message->service);
    message_free(message);
    sender_free_rest(sender);
}

static void
on_answer(void *arg, const struct transport_answer *answer)
{
    struct message *message = arg;
    struct sender *sender = message->sender;
    struct subscriber *subscriber = message->subscriber;
    bool is_ending = sender->is_ending;
    if (is_ending)
        subscriber->place = SUBSCRIBER_IDLE;
    if (subscriber->is_gone)
        subscriber_free(subscriber);
    else if (!is_ending)
        judge_answer(sender, message, subscriber, answer);
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
    const char *authorization = service_authorization(&sender->services, message->service,
                                                      message->key, clock_unix_ms());
    const struct transport_request request = {
        .url = message->endpoint,
        .may_be_private = message->service->origin.is_own,
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
        message->subscriber->place = SUBSCRIBER_IDLE;
        if (message->subscriber->is_gone)
            subscriber_free(message->subscriber);
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
    message->subscriber = subscriber;
    message->service = subscriber->service;
    message->key = subscriber->key;
    message->keys = subscriber->keys;
    message->endpoint = strdup(subscriber->endpoint);
    message->row_id = row->id;
    message->length = text.length;
    message->urgency = push_message_urgency(row);
    message->ttl_s = push_message_ttl_s(row, clock_unix_ms());
    message->has_topic = push_message_topic(message->topic, row);
    push_message_append(&message->text, row, &text);
    if (message->endpoint != NULL && !message->text.failed)
        return message;
    message_free(message);
    return NULL;
}

/* --- the next row ------------------------------------------------------------------- */

/* What a subscription's next row comes to. */
struct search {
    struct sender *sender;
    struct subscriber *subscriber;
    struct message *message; /* found, and made */
    bool waits;      /* it may have to be sent, and is to be looked at again later */
    bool has_passed; /* a row that would have been for it */
};

/* A row for the program in the page, which a person could not be shown. */
static bool
is_own_event(const struct row *row)
{
    static const char own[] = "rowcast:";
    size_t len = sizeof own - 1;
    return row->event.len >= len && memcmp(row->event.p, own, len) == 0;
}

/* Whether its user has the row by a stream, or search->waits: that is not known yet. */
static bool
is_seen_elsewhere(struct search *search, const struct row *row)
{
    uint64_t until_ms = 0;
    struct subscriber *subscriber = search->subscriber;
    if (!subscriber->absent)
        return false;
    switch (presence_judge(&search->sender->presence, subscriber->filter.user, &until_ms)) {
    case PRESENCE_THERE:
        if (subscriber->held_id >= row->id)
            return true;
        subscriber->held_id = search->sender->cursor.id; /* all that have come by now */
        search->waits = true;
        subscriber->due_ms = uv_now(search->sender->loop) + PRESENCE_HOLD_MS;
        return false;
    case PRESENCE_GRACE:
        search->waits = true;
        subscriber->due_ms = until_ms;
        return false;
    case PRESENCE_ABSENT:
        break;
    }
    return false;
}

/* Of a row that the filter lets through. STORE_STOP: this is the one, or it waits. */
static enum store_step
consider(struct search *search, const struct row *row)
{
    if (row_is_expired(row, clock_unix_ms()) || is_own_event(row)) {
        search->has_passed = true;
        return STORE_MORE;
    }
    if (is_seen_elsewhere(search, row)) {
        search->has_passed = true;
        return STORE_MORE;
    }
    if (search->waits)
        return STORE_STOP;
    search->message = message_new(search->sender, search->subscriber, row);
    search->waits = search->message == NULL; /* memory may be back later */
    if (search->waits)
        search->subscriber->due_ms = uv_now(search->sender->loop) + 1000;
    return STORE_STOP;
}

static enum store_step
consider_row(void *arg, const struct row *row)
{
    return consider(arg, row);
}

/* Among the newest rows, which are in memory. */
static void
search_recent(struct search *search)
{
    struct sender *sender = search->sender;
    struct subscriber *subscriber = search->subscriber;
    const struct recent *recent = &sender->recent;
    for (size_t i = recent_find(recent, subscriber->cursor); i < recent->count; i++) {
        const struct row *row = &recent->rows[i].row;
        if (!recent->rows[i].is_replaced &&
            filter_matches(&subscriber->filter, row->channel, row->recipient) &&
            consider(search, row) == STORE_STOP)
            return;
        subscriber->cursor = row->id;
    }
    subscriber->cursor = sender->cursor.id;
}

/* In the table, up to where the log was read. */
static enum store_result
search_table(struct search *search, struct error *error)
{
    struct subscriber *subscriber = search->subscriber;
    struct store_progress progress = {.last = subscriber->cursor};
    const struct store_range range = {.row = consider_row,
                                      .arg = search,
                                      .after = subscriber->cursor,
                                      .up_to = search->sender->cursor.id,
                                      .max_rows = MAX_PASSED,
                                      .narrow = &subscriber->filter,
                                      .collapse = true,
                                      .newest = search->sender->cursor.id};
    enum store_result result =
        store_read_range(search->sender->store, &range, &progress, error);
    int64_t last = progress.last;
    if (search->message != NULL || search->waits) /* that row is not behind it yet */
        last = progress.given.id > 0 ? progress.given.id - 1 : subscriber->cursor;
    if (last > subscriber->cursor)
        subscriber->cursor = last;
    return result;
}

/* As the table has it at this moment: it may have ended, or may read less than before. */
static void
refresh(void *arg, const struct push_row *row)
{
    struct search *search = arg;
    search->subscriber->is_over = row->is_over;
    subscribers_refresh(&search->sender->subscribers, search->subscriber, row);
}

static enum store_result
search_next(struct search *search, bool *found, struct error *error)
{
    struct sender *sender = search->sender;
    struct subscriber *subscriber = search->subscriber;
    enum store_result result =
        push_table_read(sender->table, subscriber->endpoint, clock_unix_ms(), refresh,
                        search, found, error);
    if (result != STORE_OK || !*found || subscriber->is_over ||
        subscriber->service == NULL || subscriber->key == NULL)
        return result;
    if (subscriber->absent)
        result =
            presence_freshen(&sender->presence, sender->table, uv_now(sender->loop), error);
    if (result == STORE_OK && subscriber->cursor < sender->recent.after)
        result = search_table(search, error);
    if (result == STORE_OK && !search->waits && search->message == NULL &&
        subscriber->cursor >= sender->recent.after)
        search_recent(search);
    return result;
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
    subscriber->due_ms = service->due_ms > now ? service->due_ms : now + 1000;
    subscriber->waits_for_service = true;
    return false;
}

static void
start(struct sender *sender, struct subscriber *subscriber, struct message *message)
{
    subscriber->place = SUBSCRIBER_BUSY;
    message->service->open++;
    message->service->is_probed = service_is_down(message->service);
    sender->open++;
    uv_queue_work(sender->loop, &message->work, encrypt, on_encrypted);
}

/* False: the database is locked; it is still in the queue. */
static bool
deliver_one(struct sender *sender, struct subscriber *subscriber)
{
    struct search search = {.sender = sender, .subscriber = subscriber};
    struct error error = {""};
    bool found = false;
    int64_t before = subscriber->cursor;
    enum store_result result = STORE_OK;
    if (may_ask(sender, subscriber))
        result = search_next(&search, &found, &error);
    else
        found = true;
    if (result != STORE_OK) {
        message_free(search.message);
        return false;
    }
    queue_remove(&subscriber->link);
    subscriber->place = SUBSCRIBER_IDLE;
    if (!found) {
        subscribers_drop(&sender->subscribers, subscriber);
        return true;
    }
    if (search.has_passed && subscriber->cursor != before)
        sender_note(sender, subscriber);
    if (subscriber->is_over)
        sender_end(sender, subscriber);
    else if (search.message != NULL)
        start(sender, subscriber, search.message);
    else
        deliver_later(sender, subscriber); /* there may be more rows than one look takes */
    return true;
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
        bool is_done = deliver_one(sender, queue_item(first, struct subscriber, link));
        offer(sender, service);
        if (!is_done)
            return;
    }
}
