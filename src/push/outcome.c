/* outcome.c - what an answer changes; see push/outcome.h. Called by push/deliver.c.
 *
 * push/answer.c says what a status means. This file moves the cursor or sets the wait, counts, and
 * writes the log. It starts no message. */
#include "config.h"

#include "push/outcome.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"

/* The service works again, so subscriptions that failed with it become due within a second: by
 * chance, so that not all come at once. A wait that the service asked for stays. */
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

/* The row is sent again later: after the longer of our own wait and the one that the service asks
 * for. */
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

enum push_outcome
outcome_apply(struct sender *sender, const struct sent *sent,
              const struct transport_answer *answer)
{
    struct subscriber *subscriber = sent->subscriber;
    enum push_outcome outcome = push_answer_judge(answer->status);
    note_service(sender, sent->service, outcome, answer);
    if (answer->status == 401 || answer->status == 403)
        service_forget_tokens(sent->service);
    subscriber->place = SUBSCRIBER_IDLE;
    if (outcome == PUSH_SENT) {
        succeed(sender, subscriber, sent->row_id, answer->status);
    } else if (outcome == PUSH_ENDED) {
        log_end(sender, subscriber, answer->status);
        sender_end(sender, subscriber);
    } else if (outcome == PUSH_TOO_LONG && sent->length == PUSH_WHOLE) {
        subscriber->short_id = sent->row_id; /* its short form follows at once */
    } else {
        postpone(sender, subscriber, outcome, answer);
    }
    return outcome;
}
