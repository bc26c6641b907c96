/* hub_bench.h - what the tests of the hub share beside the stage: many rows at once, and checks of
 * what a reader got.
 *
 * The tests wait for conditions; none says how soon they must come true. */
#ifndef ROWCAST_TESTS_UNIT_HUB_BENCH_H
#define ROWCAST_TESTS_UNIT_HUB_BENCH_H

#include "../stage.h"
#include "../unit.h"

#define TINY 4096 /* a socket's buffer that fills up soon */
#define NDJSON "application/x-ndjson"
#define JSON "application/json"

/* PREFIX and, in its absolute form, an id that is relative to the stage's base. */
const char *with_id(const struct stage *stage, char out[64], const char *prefix,
                    int64_t id);

/* One transaction of rows, whose data are the numbers FROM to TO and a filling of `bytes`. */
void insert_many(struct stage *stage, const char *channel, int from, int to, size_t bytes);

/* The id of the last event that came; 0: none came. */
int64_t last_id(struct reader *reader);

/* The program wants to write more to this reader and cannot. */
bool is_blocked(const struct reader *reader);

/* reader_transcript is EXPECTED. */
void check_transcript(struct reader *reader, const char *expected);

/* Rows whose data begin with FROM, FROM + 1, ... TO came, in that order, and no others. */
void check_counted(struct reader *reader, int from, int to);

#define NO_CURSOR INT64_MIN /* last_event_id is null: ask again as before */

/* A JSON document came: its cursor, its gap's reason (NULL: none), and the ids of its events less
 * the base, as "1 2 3". */
void check_document(struct reader *reader, int64_t cursor, const char *gap,
                    const char *ids);

#endif
