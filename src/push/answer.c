/* answer.c - statuses, Retry-After and waits; see push/answer.h. Called by push/sender.c. */
#include "config.h"

#include "push/answer.h"

#include <string.h>
#include <time.h>

#include "base/parse_number.h"

enum push_outcome
push_answer_judge(int status)
{
    switch (status) {
    case 200: /* some push services say so instead of 201 */
    case 201: /* RFC 8030 section 5 */
    case 202:
    case 204:
        return PUSH_SENT;
    case 404:
    case 410:
        return PUSH_ENDED;
    case 413:
        return PUSH_TOO_LONG;
    default:
        return status >= 400 && status < 500 ? PUSH_REFUSED : PUSH_UNAVAILABLE;
    }
}

/* The three forms of a date, RFC 9110 section 5.6.7. */
static int
parse_date(const char *text, int64_t *seconds)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end == NULL || *end != '\0')
            continue;
        *seconds = (int64_t)timegm(&tm);
        return 0;
    }
    return -1;
}

static int64_t
bounded(int64_t ms)
{
    if (ms < 0)
        return 0;
    return ms < PUSH_RETRY_AFTER_MAX_MS ? ms : PUSH_RETRY_AFTER_MAX_MS;
}

int64_t
push_answer_wait_ms(const char *retry_after, int64_t now_ms)
{
    int64_t seconds;
    size_t digits = strspn(retry_after, "0123456789");
    if (digits > 0 && retry_after[digits] == '\0')
        return parse_count(retry_after, 0, PUSH_RETRY_AFTER_MAX_MS / 1000, &seconds) == 0
                   ? bounded(seconds * 1000)
                   : PUSH_RETRY_AFTER_MAX_MS;
    if (parse_date(retry_after, &seconds) != 0)
        return -1;
    return bounded(seconds * 1000 - now_ms);
}

int64_t
push_backoff_ms(int64_t failures, uint64_t chance)
{
    int64_t wait = PUSH_WAIT_FIRST_MS;
    for (int64_t i = 1; i < failures && wait < PUSH_WAIT_MAX_MS; i++)
        wait *= 2;
    if (wait > PUSH_WAIT_MAX_MS)
        wait = PUSH_WAIT_MAX_MS;
    return wait - (int64_t)(chance % (uint64_t)(wait / 2));
}
