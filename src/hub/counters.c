/* counters.c - names and sums of the counters; see hub/counters.h. */
#include "config.h"

#include "hub/counters.h"

static const struct {
    const char *name, *meaning;
} close_reasons[CLOSE_REASONS] = {
    [CLOSE_READER_GONE] = {"gone", "The page was closed, or its network is gone."},
    [CLOSE_ABORTED] = {"aborted", "The web server ended the request."},
    [CLOSE_STALLED] = {"stalled", "The reader took nothing for --stall-timeout."},
    [CLOSE_DRAINED] = {"drained", "rowcast was stopped or restarted."},
    [CLOSE_AGED] = {"aged", "The stream reached --max-age."},
    [CLOSE_EXPIRED] = {"expired", "The reader's ticket expired."},
    [CLOSE_ANSWERED] = {"answered", "A poll got its document."},
    [CLOSE_CHANGED] = {"row-changed",
                       "A row was changed or deleted while half of it was out."},
    [CLOSE_NO_MEMORY] = {"no-memory", "rowcast ran out of memory."},
    [CLOSE_REPLACED] = {"replaced", "The same page opened a new stream (client=)."},
    [CLOSE_REVOKED] = {"revoked", "The user was thrown out: a row in rowcast_revocation."},
};

const char *
close_reason_name(enum close_reason why)
{
    return close_reasons[why].name;
}

const char *
close_reason_meaning(enum close_reason why)
{
    return close_reasons[why].meaning;
}

const char *
hub_refusal_name(enum hub_refusal why)
{
    static const char *const names[HUB_REFUSALS] = {
        [HUB_DRAINING] = "draining",    [HUB_FULL] = "streams",
        [HUB_USER_FULL] = "user",       [HUB_ADDRESS_FULL] = "address",
        [HUB_NO_DATABASE] = "database", [HUB_NO_MEMORY] = "memory",
        [HUB_TOO_OFTEN] = "rate",
    };
    return names[why];
}

void
hub_counters_forget_streams(struct hub_counters *counters)
{
    counters->streams = counters->behind = counters->answers = counters->users = 0;
    __atomic_store_n(&counters->tail, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < FORMATS; i++)
        counters->formats[i] = 0;
}

uint64_t
hub_counters_lowest_tail(const struct hub_counters *counters, size_t workers)
{
    uint64_t lowest = 0;
    for (size_t i = 0; i < workers; i++) {
        uint64_t tail = __atomic_load_n(&counters[i].tail, __ATOMIC_RELAXED);
        if (tail != 0 && (lowest == 0 || tail < lowest))
            lowest = tail;
    }
    return lowest;
}

void
hub_counters_sum(const struct hub_counters *counters, size_t workers, size_t own,
                 struct hub_counters *sum)
{
    /* All of it is 64-bit counters, so it can be added up as such. */
    enum { WORDS = sizeof *sum / sizeof(uint64_t) };
    uint64_t *words = (uint64_t *)(void *)sum;
    *sum = (struct hub_counters){0};
    for (size_t i = 0; i < workers; i++) {
        const uint64_t *one = (const uint64_t *)(const void *)&counters[i];
        for (size_t word = 0; word < WORDS; word++)
            words[word] += one[word];
    }
    sum->rows = counters[own].rows;
    sum->tail = counters[own].tail;
    sum->started_ms = counters[0].started_ms;
}
