/* scan.c - the floor of a replay: step through the rows, make the events, send them nowhere.
 *
 *     scan DB
 *
 * The least that a responder has to do for a replay from the table: one SELECT over all rows, and
 * for each the bytes of its event copied into a buffer. Prints JSON: rows, bytes, microseconds of
 * CPU and of the clock. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "event_line.h"

#define BUFFER_BYTES (1 << 20)

/* Room for an event is there: its data has at most EVENT_DATA_MAX bytes. */
static size_t
put_event(char *to, sqlite3_stmt *row)
{
    char digits[24];
    size_t at = sizeof digits;
    size_t len = 0;
    const unsigned char *event = sqlite3_column_text(row, 2);
    const unsigned char *data = sqlite3_column_text(row, 3);
    size_t data_len = (size_t)sqlite3_column_bytes(row, 3);

    for (int64_t id = sqlite3_column_int64(row, 0); id > 0; id /= 10)
        digits[--at] = (char)('0' + id % 10);
    memcpy(to, "id: ", 4);
    len = 4;
    memcpy(to + len, digits + at, sizeof digits - at);
    len += sizeof digits - at;
    if (event != NULL)
        len += (size_t)sprintf(to + len, "\nevent: %s", event);
    memcpy(to + len, "\ndata: ", 7);
    len += 7;
    memcpy(to + len, data, data_len);
    len += data_len;
    memcpy(to + len, "\n\n", 2);
    return len + 2;
}

static int64_t
cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

int
main(int argc, char **argv)
{
    static char buffer[BUFFER_BYTES];
    sqlite3 *handle;
    sqlite3_stmt *row;
    int64_t rows = 0;
    int64_t bytes = 0;
    size_t filled = 0;

    if (argc != 2 ||
        sqlite3_open_v2(argv[1], &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(handle,
                           "SELECT id, channel, event, data FROM notification ORDER BY id",
                           -1, &row, NULL) != SQLITE_OK) {
        fputs("Usage: scan DB\n", stderr);
        return 2;
    }
    int64_t start_ns = now_ns();
    int64_t start_cpu_ns = cpu_ns();
    for (; sqlite3_step(row) == SQLITE_ROW; rows++) {
        if (filled > sizeof buffer - EVENT_DATA_MAX)
            filled = 0;
        size_t len = put_event(buffer + filled, row);
        filled += len;
        bytes += (int64_t)len;
    }
    printf("{\"rows\":%" PRId64 ",\"bytes\":%" PRId64
           ",\"cpu_us\":%.1f,\"wall_us\":%.1f}\n",
           rows, bytes, (double)(cpu_ns() - start_cpu_ns) / 1000,
           (double)(now_ns() - start_ns) / 1000);
    sqlite3_finalize(row);
    sqlite3_close(handle);
    return 0;
}
