/* status_page.c - the status for a person: web/status.html, filled in.
 *
 * The numbers stand in the page as it is sent, so that it says something without a script too; its
 * script then renews them from the stream of this resource. */
#include "config.h"

#include "serve/report.h"

#include <inttypes.h>
#include <string.h>

#include "status_html.h"

struct replay_page {
    struct buf *buf;
    const struct hub *hub;
    const struct feed *feed;
    const char *nonce;
};

static void
append_row(struct buf *buf, const char *name, const char *key, uint64_t value)
{
    buf_printf(buf, "<tr><th scope=row>%s<td class=number data-key=\"%s\">%" PRIu64 "\n",
               name, key, value);
}

static void
append_rows(const struct replay_page *page)
{
    struct hub_counters totals;
    hub_totals(page->hub, &totals);
    append_row(page->buf, "open streams", "streams", totals.streams);
    append_row(page->buf, "of them catching up", "behind", totals.behind);
    append_row(page->buf, "opened", "opened", totals.opened);
    append_row(page->buf, "refused over a limit", "refused", totals.refused);
    for (int why = 0; why < CLOSE_REASONS; why++) {
        const char *name = close_reason_name((enum close_reason)why);
        buf_printf(
            page->buf,
            "<tr><th scope=row>closed: %s<td class=number data-key=\"closed.%s\">%" PRIu64
            "\n",
            name, name, totals.closed[why]);
    }
    append_row(page->buf, "rows seen", "rows", totals.rows);
    append_row(page->buf, "events written", "events", totals.events);
    append_row(page->buf, "bytes written", "bytes", totals.bytes);
    append_row(page->buf, "gaps told", "gaps", totals.gaps);
    append_row(page->buf, "bytes of the window", "window_bytes", totals.window_bytes);
    append_row(page->buf, "rows deleted by age or count", "pruned_rows",
               totals.pruned_rows);
    append_row(page->buf, "highest id", "tail", (uint64_t)feed_tail(page->feed));
}

/* What stands for the word between two @. */
static void
append_word(const struct replay_page *page, struct slice word)
{
    if (word.len == 5 && memcmp(word.p, "NONCE", 5) == 0)
        buf_append_text(page->buf, page->nonce);
    else if (word.len == 7 && memcmp(word.p, "VERSION", 7) == 0)
        buf_append_text(page->buf, PACKAGE_VERSION);
    else if (word.len == 4 && memcmp(word.p, "ROWS", 4) == 0)
        append_rows(page);
    else /* What is wrong may quote a path: no detail where it would have to be escaped. */
        buf_append_text(page->buf, feed_trouble(page->feed) == NULL
                                       ? "ok"
                                       : "cannot be read, see /health");
}

/* Words of capitals between two @; other @ are the text's own. */
void
report_append_page(struct buf *buf, const struct hub *hub, const struct feed *feed,
                   const char *nonce)
{
    struct replay_page page = {buf, hub, feed, nonce};
    const char *text = status_html;
    for (const char *at = strchr(text, '@'); at != NULL; at = strchr(at, '@')) {
        size_t len = strspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (len == 0 || at[1 + len] != '@') {
            at++;
            continue;
        }
        buf_append(buf, text, (size_t)(at - text));
        append_word(&page, (struct slice){at + 1, len});
        text = at = at + len + 2;
    }
    buf_append_text(buf, text);
}
