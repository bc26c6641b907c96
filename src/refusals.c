/* refusals.c - the lines "refused ...", through two token buckets. */
#include "config.h"

#include "refusals.h"

#include <stdio.h>

#define MINUTE_MS 60000

int
refusals_init(struct refusals *refusals, const struct log *log, struct error *error)
{
    *refusals = (struct refusals){.log = log};
    refusals->each = (struct rate){refusals->each_slots, REFUSALS_SLOTS,
                                   MINUTE_MS / REFUSALS_EACH, MINUTE_MS};
    refusals->all = (struct rate){refusals->all_slots, RATE_WINDOW,
                                  MINUTE_MS / REFUSALS_ALL, MINUTE_MS};
    return quota_key_make(&refusals->key, error);
}

static bool
may_write(const struct refusals *refusals, const struct refused *refused, uint64_t now_ms)
{
    const char *address = refused->address == NULL ? "" : refused->address;
    uint64_t key = quota_hash_address(&refusals->key, address);
    key = quota_hash(&refusals->key, &(uint64_t[]){key, (uint64_t)refused->status},
                     2 * sizeof key);
    return rate_take(&refusals->each, key, now_ms) == 0 &&
           rate_take(&refusals->all, 0, now_ms) == 0;
}

void
refusals_note(struct refusals *refusals, const struct refused *refused, uint64_t now_ms)
{
    bool is_ours = refused->status == 200 || refused->status >= 500;
    enum log_level level = is_ours ? LOG_WARN : LOG_INFO;
    char user[128];
    char address[64];
    char why[ERROR_TEXT_MAX];
    char suppressed[48] = "";
    if (level > refusals->log->level)
        return;
    if (!may_write(refusals, refused, now_ms)) {
        refusals->suppressed++;
        return;
    }
    if (refusals->suppressed > 0)
        snprintf(suppressed, sizeof suppressed, " suppressed=%llu",
                 (unsigned long long)refusals->suppressed);
    refusals->suppressed = 0;
    log_line(refusals->log, level, "refused status=%d user=%s address=%s why=%s%s",
             refused->status, log_quote(user, sizeof user, refused->user),
             log_quote(address, sizeof address, refused->address),
             log_quote(why, sizeof why, refused->why), suppressed);
}

void
refusals_fini(struct refusals *refusals)
{
    if (refusals->suppressed > 0)
        log_line(refusals->log, LOG_INFO, "refused suppressed=%llu",
                 (unsigned long long)refusals->suppressed);
    refusals->suppressed = 0;
}
