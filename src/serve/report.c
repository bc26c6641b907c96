/* report.c - is it well? For monitors and load balancers; see serve/report.h. */
#include "config.h"

#include "serve/report.h"

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
