/* report.c - is it well? For monitors and load balancers; see serve/report.h. */
#include "config.h"

#include "serve/report.h"

int
report_health(struct feed *feed, const char **text)
{
    feed_probe(feed);
    const char *trouble = feed_lasting_trouble(feed);
    *text = trouble == NULL ? "ok" : trouble;
    return trouble == NULL ? 200 : 503;
}
