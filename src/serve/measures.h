/* measures.h - what the program measures: one table from which /metrics, /status (JSON and the
 * page) are made, and with which tools/check-docs compares doc/OPERATIONS.md.
 *
 * A new measure is a line in the table of serve/measures.c, a line in doc/OPERATIONS.md, and the
 * word that it reads: in struct hub_counters where it is counted, else in struct measures. */
#ifndef ROWCAST_SERVE_MEASURES_H
#define ROWCAST_SERVE_MEASURES_H

#include <stddef.h>
#include <stdint.h>

#include "feed/feed.h"
#include "hub/hub.h"

/* The values at one moment. All of them are uint64_t. */
struct measures {
    struct hub_counters totals; /* of all workers */
    uint64_t time_ms;           /* Unix time */
    uint64_t workers, worker;   /* how many, and the one that answers */
    uint64_t tail_id;
    uint64_t window_limit; /* of all workers */
    uint64_t database_up;  /* 0 or 1 */
    uint64_t feed_lag_ms;
    uint64_t follower;        /* 0 or 1: the database follows a log elsewhere */
    uint64_t follower_lag_ms; /* 0 where it does not */
};

enum measure_kind { MEASURE_GAUGE, MEASURE_COUNTER };
enum measure_unit {
    MEASURE_NUMBER,
    MEASURE_MS, /* seconds in /metrics */
    MEASURE_ID  /* a string in JSON: it may exceed what JavaScript's numbers hold */
};

/* The label of a measure that is several values, and the names of these. */
struct measure_label {
    const char *name;
    int count;
    const char *(*value_name)(int which);
    const char *(*value_meaning)(int which); /* NULL: the names say it */
};

struct measure {
    const char *metric; /* its name in /metrics, behind "rowcast_"; NULL: not there */
    const char *key;    /* its name in the JSON object; NULL: not there */
    const char *title;  /* its row on the page; NULL: none */
    const char *help;   /* a sentence, for /metrics and the page */
    enum measure_kind kind;
    enum measure_unit unit;
    size_t offset;                     /* of its first word in struct measures */
    const struct measure_label *label; /* NULL: one value */
};

/* All but the histogram of delays, the version and the list of open streams. */
extern const struct measure measures_table[];
extern const size_t measures_count;

void measures_take(struct measures *measures, const struct hub *hub,
                   const struct feed *feed);

/* The value, or the one of the label's number `which`. */
uint64_t measure_value(const struct measure *measure, const struct measures *measures,
                       int which);

/* "sse", "envelope", ... */
const char *measure_format_name(int format);

#endif
