/* metrics_file.h - figures of `rowcast follow` and `rowcast push`, which no web server asks, as a
 * file in the Prometheus text format, for the textfile collector of node_exporter.
 *
 * The figures of `rowcast serve` are serve/measures.c's. */
#ifndef ROWCAST_BASE_METRICS_FILE_H
#define ROWCAST_BASE_METRICS_FILE_H

#include <stddef.h>

#include "base/error.h"

struct metrics_figure {
    const char *name; /* with its prefix: rowcast_push_sent_total */
    const char *type; /* counter or gauge */
    const char *help;
    double value;
};

/* Writes PATH.new and renames it to PATH, so that a reader always finds a whole file. Blocks as a
 * write to a file does. Returns 0, or -1 with *error, which names the option --metrics. */
int metrics_file_write(const char *path, const struct metrics_figure *figures, size_t count,
                       struct error *error);

#endif
