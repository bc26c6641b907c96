/* status_page.c - the status for a person: web/status.html, filled in.
 *
 * The numbers stand in the page as it is sent, so that it says something without a script too; its
 * script then renews them from the stream of this resource. */
#include "config.h"

#include "serve/report.h"

#include <inttypes.h>
#include <string.h>

#include "serve/measures.h"
#include "status_html.h"

struct page {
    struct buf *buf;
    const struct hub *hub;
    const struct feed *feed;
    const char *nonce;
};

/* A value of the label's number `which`; one without a label has the number 0. */
static void
append_row(const struct page *page, const struct measure *measure,
           const struct measures *measures, int which)
{
    const struct measure_label *label = measure->label;
    const char *name = label == NULL ? "" : label->value_name(which);
    const char *help = label != NULL && label->value_meaning != NULL
                           ? label->value_meaning(which)
                           : measure->help;
    buf_printf(page->buf, "<div><dt>%s%s%s <small>%s</small>", measure->title,
               label == NULL ? "" : ": ", name, help);
    buf_printf(page->buf, "<dd class=\"%s\" data-key=\"%s%s%s\">%" PRIu64 "</div>\n",
               measure->unit == MEASURE_ID ? "id" : "number", measure->key,
               label == NULL ? "" : ".", name, measure_value(measure, measures, which));
}

static void
append_rows(const struct page *page)
{
    struct measures measures;
    measures_take(&measures, page->hub, page->feed);
    for (size_t i = 0; i < measures_count; i++) {
        const struct measure *measure = &measures_table[i];
        int count = measure->label == NULL ? 1 : measure->label->count;
        for (int which = 0; measure->title != NULL && which < count; which++)
            append_row(page, measure, &measures, which);
    }
}

/* What stands for the word between two @. */
static void
append_word(const struct page *page, struct slice word)
{
    if (word.len == 5 && memcmp(word.p, "NONCE", 5) == 0)
        buf_append_text(page->buf, page->nonce);
    else if (word.len == 7 && memcmp(word.p, "VERSION", 7) == 0)
        buf_append_text(page->buf, PACKAGE_VERSION);
    else if (word.len == 7 && memcmp(word.p, "HEALTHY", 7) == 0)
        buf_append_text(page->buf, feed_trouble(page->feed) == NULL ? "true" : "false");
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
    struct page page = {buf, hub, feed, nonce};
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
