/* push.c - see doctor/push.h. Called by doctor/table.c, in the child with the server's rights. */
#include "config.h"

#include "doctor/push.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "push/table.h"
#include "store/connection.h"

enum sender { SENDER_RUNS, SENDER_IS_MISSING, SENDER_IS_UNKNOWN };

/* `rowcast push` holds a lock on a file beside the database while it runs (cmd/push.c). */
static enum sender
find_sender(const char *database)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s-push", database);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? SENDER_IS_MISSING : SENDER_IS_UNKNOWN;
    bool is_free = flock(fd, LOCK_SH | LOCK_NB) == 0;
    close(fd);
    return is_free ? SENDER_IS_MISSING : SENDER_RUNS;
}

static const char *
failing_remedy(int status)
{
    if (status == 401 || status == 403)
        return "The push service refuses the key: serve and push must have the same "
               "--vapid-key-file, and this\n"
               "machine's clock must be right. Browsers that subscribed with another key "
               "have to subscribe again.";
    if (status == 0)
        return "The push service was not reached: look at this machine's way out (443/tcp, "
               "DNS) and at the log of\n"
               "rowcast-push.";
    return "Nothing is lost before a row expires. The log of rowcast-push says more; "
           "`rowcast push --test ENDPOINT`\n"
           "tries one.";
}

void
doctor_judge_push(struct store *store, struct doctor_report *report)
{
    struct push_summary sum;
    struct error error;

    if (push_table_sum(store, NULL, &sum, &error) != STORE_OK || !sum.exists ||
        sum.count == 0)
        return;
    if (sum.failing > 0)
        doctor_find(
            report,
            (struct doctor_head){"push", DOCTOR_WARNING, failing_remedy(sum.last_status)},
            "%" PRId64 " of %" PRId64 " subscriptions to Web Push fail; one with %s",
            sum.failing, sum.count,
            sum.last_error[0] != '\0' ? sum.last_error : "an answer of its push service");
    else
        doctor_find(report, (struct doctor_head){"push", DOCTOR_OK, NULL},
                    "%" PRId64 " subscription%s to Web Push, none fails", sum.count,
                    sum.count == 1 ? "" : "s");
    if (find_sender(store_path(store)) == SENDER_IS_MISSING)
        doctor_find(report,
                    (struct doctor_head){"sender", DOCTOR_PROBLEM,
                                         "systemctl enable --now rowcast-push, or start "
                                         "`rowcast push` (doc/ALERTS.md)."},
                    "browsers have subscribed, and no `rowcast push` sends to them");
}
