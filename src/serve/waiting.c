/* waiting.c - an answer that its reader does not take counts to the limits, whatever its kind.
 *
 * Streams, and polls until the last byte of the document is out, hold their places by themselves
 * (hub/admit.c). All other answers are with their connection, which asks here when the socket does
 * not take them at once: reports, refusals, 4xx, answers to POST, and the rest of a stream that has
 * ended. The answer of a reader over a limit is cut off. --stall-timeout is the gateway's. */
#include "config.h"

#include "serve/internal.h"

#include "hub/hub.h"
#include "limits/limits.h"

void
waiting_note_request(const struct serve *serve, struct output *output,
                     const struct request *request)
{
    const struct limits_reader reader = {.user = request->filter.user,
                                         .address = request->address};
    struct limits_claim claim = limits_claim_of(serve->worker->limits, &reader);
    output->tag = (struct output_tag){claim.user, claim.address};
}

static bool
may_wait(void *arg, struct output *output)
{
    const struct serve *serve = arg;
    const struct serve_worker *worker = serve->worker;
    const struct limits_claim claim = {output->tag.user, output->tag.address};
    struct limits_hold hold;
    if (!hub_has_room(serve->hub) ||
        limits_admit_claim(worker->limits, worker->number, &claim, &hold) != LIMITS_GRANTED)
        return false;
    output->tag = (struct output_tag){hold.user, hold.address};
    worker->counters[worker->number].answers++;
    return true;
}

static void
waited(void *arg, struct output *output)
{
    const struct serve *serve = arg;
    const struct serve_worker *worker = serve->worker;
    struct limits_hold hold = {(size_t)output->tag.user, (size_t)output->tag.address};
    limits_release(worker->limits, &hold);
    output->tag = (struct output_tag){0, 0};
    worker->counters[worker->number].answers--;
}

const struct gateway_waiting waiting_answers = {may_wait, waited};
