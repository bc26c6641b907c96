/* metrics_file.h - figures of a program that no web server asks, as a file in the Prometheus text
 * format, for the textfile collector of node_exporter: `rowcast follow` and `rowcast push`.
 *
 * The figures of `rowcast serve` are serve/measures.c's. */
#ifndef ROWCAST_BASE_METRICS_FILE_H
#define ROWCAST_BASE_METRICS_FILE_H

#include <stddef.h>

#include "base/error.h"

struct metrics_figure {
    const char *name; /* the whole of it: rowcast_push_sent_total */
    const char *type; /* counter or gauge */
    const char *help;
    double value;
};

/* Replaces the file, under another name first: a reader finds it whole. Blocks as a write to a
 * file does. Returns 0, or -1 with *error, which names the option --metrics. */
int metrics_file_write(const char *path, const struct metrics_figure *figures, size_t count,
                       struct error *error);

#endif
