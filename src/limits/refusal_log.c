/* refusal_log.c - the lines "refused ...", through two token buckets. */
#include "config.h"

#include "limits/refusal_log.h"

#include <stdio.h>

#define MINUTE_MS 60000

int
refusal_log_init(struct refusal_log *refusal_log, const struct log *log,
                 struct error *error)
{
    *refusal_log = (struct refusal_log){.log = log};
    refusal_log->each = (struct token_buckets){refusal_log->each_slots, REFUSAL_LOG_SLOTS,
                                               MINUTE_MS / REFUSAL_LOG_EACH, MINUTE_MS};
    refusal_log->all = (struct token_buckets){refusal_log->all_slots, TOKEN_BUCKET_WINDOW,
                                              MINUTE_MS / REFUSAL_LOG_ALL, MINUTE_MS};
    return hash_key_make(&refusal_log->key, error);
}

static bool
may_write(const struct refusal_log *refusal_log, const struct refusal_note *refused,
          uint64_t now_ms)
{
    const char *address = refused->address == NULL ? "" : refused->address;
    uint64_t key = limits_hash_address(&refusal_log->key, address);
    key = hash_bytes(&refusal_log->key, &(uint64_t[]){key, (uint64_t)refused->status},
                     2 * sizeof key);
    return token_bucket_take(&refusal_log->each, key, now_ms) == 0 &&
           token_bucket_take(&refusal_log->all, 0, now_ms) == 0;
}

void
refusal_log_note(struct refusal_log *refusal_log, const struct refusal_note *refused,
                 uint64_t now_ms)
{
    bool is_ours = refused->status == 200 || refused->status >= 500;
    enum log_level level = is_ours ? LOG_WARN : LOG_INFO;
    char user[128];
    char address[64];
    char why[ERROR_TEXT_MAX];
    char suppressed[48] = "";
    if (level > refusal_log->log->level)
        return;
    if (!may_write(refusal_log, refused, now_ms)) {
        refusal_log->suppressed++;
        return;
    }
    if (refusal_log->suppressed > 0)
        snprintf(suppressed, sizeof suppressed, " suppressed=%llu",
                 (unsigned long long)refusal_log->suppressed);
    refusal_log->suppressed = 0;
    log_line(refusal_log->log, level, "refused status=%d user=%s address=%s why=%s%s",
             refused->status, log_quote(user, sizeof user, refused->user),
             log_quote(address, sizeof address, refused->address),
             log_quote(why, sizeof why, refused->why), suppressed);
}

void
refusal_log_fini(struct refusal_log *refusal_log)
{
    if (refusal_log->suppressed > 0)
        log_line(refusal_log->log, LOG_INFO, "refused suppressed=%llu",
                 (unsigned long long)refusal_log->suppressed);
    refusal_log->suppressed = 0;
}
