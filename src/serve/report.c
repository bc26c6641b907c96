/* report.c - is it well? For monitors and load balancers; see serve/report.h. */
#include "config.h"

#include "serve/report.h"

#include <string.h>

int
report_health(struct feed *feed, struct writer *writer, struct error *text)
{
    struct error cause = {""};
    feed_probe(feed);
    const char *trouble = feed_lasting_trouble(feed);
    enum writer_health health = writer_health(writer, &cause);
    if (trouble != NULL)
        error_set(text, "%s", trouble);
    else if (health == WRITER_WELL)
        error_set(text, "ok");
    else
        error_set(text, "%s%s", health == WRITER_LIMPS ? "ok, but: " : "", cause.text);
    return trouble == NULL && health != WRITER_FAILS ? 200 : 503;
}

/* Up to what ends a path in a sentence. */
static size_t
path_len(const char *path)
{
    return strcspn(path, " :,;()`'\"");
}

void
report_hide_folders(struct error *text)
{
    char *to = text->text;
    for (const char *p = text->text; *p != '\0';) {
        size_t len = path_len(p);
        const char *name = len == 0 ? NULL : memrchr(p, '/', len);
        const char *from = name == NULL ? p : name + 1;
        size_t rest = len == 0 ? 1 : len - (size_t)(from - p);
        memmove(to, from, rest);
        to += rest;
        p = from + rest;
    }
    *to = '\0';
}
