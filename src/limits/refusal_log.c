/* refusal_log.c - the token buckets that a line of the log must pass.
 *
 * One bucket a second for each address, so that no address fills the log by itself; behind it,
 * for refusals, slower ones by address and status and over all, as there may be many addresses. */
#include "config.h"

#include "limits/refusal_log.h"

#include <stdio.h>

#define SECOND_MS 1000
#define MINUTE_MS 60000

int
refusal_log_init(struct refusal_log *refusal_log, const struct log *log,
                 struct error *error)
{
    *refusal_log = (struct refusal_log){.log = log};
    refusal_log->second = (struct token_buckets){refusal_log->second_slots,
                                                 REFUSAL_LOG_SLOTS, SECOND_MS, SECOND_MS};
    refusal_log->each = (struct token_buckets){refusal_log->each_slots, REFUSAL_LOG_SLOTS,
                                               MINUTE_MS / REFUSAL_LOG_EACH, MINUTE_MS};
    refusal_log->all = (struct token_buckets){refusal_log->all_slots, TOKEN_BUCKET_WINDOW,
                                              MINUTE_MS / REFUSAL_LOG_ALL, MINUTE_MS};
    refusal_log->polls = (struct token_buckets){
        refusal_log->poll_slots, TOKEN_BUCKET_WINDOW, MINUTE_MS / POLLS_ALL, MINUTE_MS};
    refusal_log->streams = (struct token_buckets){
        refusal_log->stream_slots, REFUSAL_LOG_SLOTS, SECOND_MS / STREAMS_A_SECOND,
        SECOND_MS / STREAMS_A_SECOND * STREAMS_AT_ONCE};
    return hash_key_make(&refusal_log->key, error);
}

static uint64_t
key_of_address(const struct refusal_log *refusal_log, const char *address)
{
    return limits_hash_address(&refusal_log->key, address == NULL ? "" : address);
}

static uint64_t
key_with_status(const struct refusal_log *refusal_log, uint64_t key, int status)
{
    const uint64_t parts[] = {key, (uint64_t)status};
    return hash_bytes(&refusal_log->key, parts, sizeof parts);
}

static bool
admit_refused(struct refusal_log *refusal_log, const struct refusal_note *refused,
              uint64_t now_ms)
{
    uint64_t key = key_of_address(refusal_log, refused->address);
    uint64_t with_status = key_with_status(refusal_log, key, refused->status);
    bool granted = token_bucket_take(&refusal_log->second, key, now_ms) == 0 &&
                   token_bucket_take(&refusal_log->each, with_status, now_ms) == 0 &&
                   token_bucket_take(&refusal_log->all, 0, now_ms) == 0;
    refusal_log->suppressed += granted ? 0 : 1;
    return granted;
}

bool
refusal_log_admit_poll(struct refusal_log *refusal_log, const char *address,
                       uint64_t now_ms)
{
    uint64_t key = key_of_address(refusal_log, address);
    bool granted = token_bucket_take(&refusal_log->second, key, now_ms) == 0 &&
                   token_bucket_take(&refusal_log->polls, 0, now_ms) == 0;
    refusal_log->suppressed += granted ? 0 : 1;
    return granted;
}

bool
refusal_log_admit_stream(struct refusal_log *refusal_log, const char *address,
                         uint64_t now_ms)
{
    uint64_t key = key_of_address(refusal_log, address);
    bool granted = token_bucket_take(&refusal_log->streams, key, now_ms) == 0;
    refusal_log->suppressed += granted ? 0 : 1;
    return granted;
}

const char *
refusal_log_take_suppressed(struct refusal_log *refusal_log,
                            char out[REFUSALS_SUPPRESSED_MAX])
{
    out[0] = '\0';
    if (refusal_log->suppressed > 0)
        snprintf(out, REFUSALS_SUPPRESSED_MAX, " suppressed=%llu",
                 (unsigned long long)refusal_log->suppressed);
    refusal_log->suppressed = 0;
    return out;
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
    char suppressed[REFUSALS_SUPPRESSED_MAX];
    if (level > refusal_log->log->level || !admit_refused(refusal_log, refused, now_ms))
        return;
    log_line(refusal_log->log, level, "refused status=%d user=%s address=%s why=%s%s",
             refused->status, log_quote(user, sizeof user, refused->user),
             log_quote(address, sizeof address, refused->address),
             log_quote(why, sizeof why, refused->why),
             refusal_log_take_suppressed(refusal_log, suppressed));
}

void
refusal_log_fini(struct refusal_log *refusal_log)
{
    if (refusal_log->suppressed > 0)
        log_line(refusal_log->log, LOG_INFO, "refused suppressed=%llu",
                 (unsigned long long)refusal_log->suppressed);
    refusal_log->suppressed = 0;
}
