/* batch.c - a look: what is new in the log goes into the file, in one snapshot of the log.
 *
 * Called by follow/follow.c. Rows are written as they come; a batch of many bytes is committed in
 * parts, each with the cursor that it has come to. So whenever the process is killed, it goes
 * on from what is in the file, and no row comes twice or not at all.
 *
 * A mark of the log holds for the file once the file has all rows up to it: a low-water mark above
 * rows that are still to come would make the table refuse them. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "follow/internal.h"

#define PART_BYTES (4 << 20)
#define NOTE_MS 900

enum { RESULT_LOG, RESULT_DELETIONS, RESULT_ROWS };

struct batch {
    struct follow *follow;
    struct error *error;
    struct follow_log log;
    struct follow_range deletions[QUERY_DELETIONS];
    size_t deletion_count;
    int rows;     /* seen, of this look */
    size_t bytes; /* since the last commit */
    bool is_open; /* a transaction is */
    int64_t refused_up_to;
    enum follow_result result;
};

static int64_t
at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* --- rows ------------------------------------------------------------------------------ */

static struct row
row_of(const struct pg_row *from)
{
    return (struct row){.id = pg_number(from, ROW_ID),
                        .channel = pg_text(from, ROW_CHANNEL),
                        .recipient = pg_text(from, ROW_RECIPIENT),
                        .event = pg_text(from, ROW_EVENT),
                        .collapse_key = pg_text(from, ROW_COLLAPSE_KEY),
                        .created_at = pg_number(from, ROW_CREATED_AT),
                        .expires_at = pg_number(from, ROW_EXPIRES_AT),
                        .data = pg_text(from, ROW_DATA)};
}

/* 0 where nothing was deleted since the base. */
static int64_t
low_water_of(const struct follow_log *log)
{
    return log->low_water > log->base ? log->low_water : 0;
}

/* The low-water mark as far as the file has come; a row that was left out is as one deleted. */
static struct store_follower_marks
marks_of(const struct batch *batch)
{
    int64_t low_water = at_most(low_water_of(&batch->log), batch->follow->state.cursor);

    if (batch->refused_up_to > low_water)
        low_water = batch->refused_up_to;
    return (struct store_follower_marks){.low_water = low_water};
}

static enum store_result
commit_part(struct batch *batch, const struct store_follower_marks *marks)
{
    struct follow *follow = batch->follow;

    follow->state.alive_at_ms = clock_unix_ms();
    enum store_result result =
        store_follower_commit(follow->store, &follow->state, marks, batch->error);
    batch->is_open = false;
    batch->bytes = 0;
    if (result != STORE_OK)
        store_rollback(follow->store);
    return result;
}

/* A row that the file's table refuses comes from a table with other rules. It must not hold up all
 * rows after it: readers get a gap event, and the log names it. */
static void
leave_out(struct batch *batch, const struct row *row, const char *why)
{
    batch->follow->counts.refused_rows++;
    batch->refused_up_to = row->id;
    log_line(batch->follow->settings->log, LOG_ERROR,
             "row %" PRId64 " is left out, and readers get a gap event: %s", row->id, why);
}

static enum store_result
insert_row(struct batch *batch, const struct row *row)
{
    struct follow *follow = batch->follow;
    struct error why = {""};

    if (row->data.p == NULL) {
        leave_out(batch, row, "its data has more than 64 MiB, or is NULL");
        return STORE_OK;
    }
    enum store_result result = store_follower_insert(follow->store, row, &why);
    if (result == STORE_FAILED && store_refusal(follow->store) != NULL) {
        leave_out(batch, row, store_refusal(follow->store));
        return STORE_OK;
    }
    if (result != STORE_OK)
        *batch->error = why;
    else
        follow->counts.rows++;
    return result;
}

static enum store_result
take_row(struct batch *batch, const struct pg_row *from)
{
    struct row row = row_of(from);
    enum store_result result = STORE_OK;

    if (!batch->is_open)
        result = store_follower_begin(batch->follow->store, batch->error);
    if (result != STORE_OK)
        return result;
    batch->is_open = true;
    result = insert_row(batch, &row);
    if (result != STORE_OK)
        return result;
    batch->follow->state.cursor = row.id;
    batch->rows++;
    batch->bytes += row.data.len;
    if (batch->bytes < PART_BYTES)
        return STORE_OK;
    const struct store_follower_marks marks = marks_of(batch);
    return commit_part(batch, &marks);
}

/* --- the snapshot ---------------------------------------------------------------------- */

static enum pg_step
take(void *arg, int result, const struct pg_row *row)
{
    struct batch *batch = arg;
    enum store_result written = STORE_OK;

    switch (result) {
    case RESULT_LOG:
        follow_take_log(&batch->log, row);
        batch->result = follow_check_log(batch->follow, &batch->log, batch->error);
        return batch->result == FOLLOW_OK ? PG_MORE : PG_STOP;
    case RESULT_DELETIONS:
        if (batch->deletion_count < QUERY_DELETIONS)
            batch->deletions[batch->deletion_count++] = (struct follow_range){
                pg_number(row, 0), pg_number(row, 1), pg_number(row, 2), pg_number(row, 3)};
        return PG_MORE;
    default:
        written = take_row(batch, row);
        batch->result = follow_store_result(batch->follow, written);
        return batch->result == FOLLOW_OK ? PG_MORE : PG_STOP;
    }
}

static enum follow_result
read_snapshot(struct batch *batch)
{
    struct follow *follow = batch->follow;
    struct buf sql = {0};

    query_look(&sql, follow->settings->table, follow->state.deletions,
               follow->state.cursor);
    enum pg_outcome asked =
        sql.failed ? PG_LOST : pg_run(follow->pg, sql.p, take, batch, batch->error);
    buf_fini(&sql);
    if (batch->result != FOLLOW_OK)
        return batch->result;
    if (asked == PG_OK && !batch->log.found)
        return follow_check_log(follow, &batch->log, batch->error);
    return follow_pg_result(follow, asked);
}

/* --- the end of a look ----------------------------------------------------------------- */

/* Everything that the log had in the snapshot is in the file: also its marks hold. All ids up to
 * them were given, or given up, before the snapshot. */
static void
complete(struct batch *batch, struct store_follower_marks *marks)
{
    struct follow *follow = batch->follow;
    struct store_follower *state = &follow->state;
    const struct follow_log *log = &batch->log;

    if (log->low_water > state->cursor)
        state->cursor = log->low_water;
    if (log->base > state->base) {
        state->cursor = log->base > state->cursor ? log->base : state->cursor;
        state->base = log->base;
        marks->base = log->base;
    }
    if (low_water_of(log) > marks->low_water)
        marks->low_water = low_water_of(log);
    state->contact_at_ms = clock_unix_ms() - log->delay_ms;
    state->behind = 0;
}

static void
note_carried(struct follow *follow, const struct follow_range *deletion)
{
    follow->state.deletions = deletion->number;
    follow->state.deletion_mark = deletion->mark;
}

/* Deletions up to the number are carried. */
static enum follow_result
carry_deletions(struct batch *batch)
{
    struct follow *follow = batch->follow;
    enum follow_result result = FOLLOW_OK;
    const struct follow_range all = {batch->log.deletions, 0, INT64_MAX - 1,
                                     batch->log.deletion_mark};
    bool has_hole = batch->deletion_count == 0 ||
                    batch->deletions[0].number != follow->state.deletions + 1;

    if (batch->log.deletions == follow->state.deletions && !follow->must_compare)
        return FOLLOW_OK;
    if (has_hole || follow->must_compare) {
        result = follow_carry(follow, &all, batch->error);
        note_carried(follow, &all);
        return result;
    }
    for (size_t i = 0; i < batch->deletion_count && result == FOLLOW_OK; i++) {
        result = follow_carry(follow, &batch->deletions[i], batch->error);
        note_carried(follow, &batch->deletions[i]);
    }
    return result;
}

static bool
has_news(const struct batch *batch, const struct store_follower *before)
{
    const struct store_follower *state = &batch->follow->state;

    return batch->is_open || batch->rows > 0 || batch->deletion_count > 0 ||
           state->cursor != before->cursor || state->deletions != before->deletions ||
           state->base != before->base || batch->follow->must_compare;
}

/* A look that brought nothing is noted once a second: serve knows by it how old the file may be. */
static bool
is_worth_writing(const struct batch *batch, const struct store_follower *before)
{
    return has_news(batch, before) ||
           clock_unix_ms() - batch->follow->noted_at_ms >= NOTE_MS;
}

/* Deletions have transactions of their own: the rows are committed before. */
static enum follow_result
carry(struct batch *batch)
{
    struct follow *follow = batch->follow;
    const struct store_follower_marks marks = marks_of(batch);

    if (follow->is_complete && batch->log.base > follow->state.base)
        follow->must_compare = true;
    if (batch->log.deletions == follow->state.deletions && !follow->must_compare)
        return FOLLOW_OK;
    enum follow_result result = FOLLOW_OK;
    if (batch->is_open)
        result = follow_store_result(follow, commit_part(batch, &marks));
    return result == FOLLOW_OK ? carry_deletions(batch) : result;
}

/* The base moves last: by then nothing is left in the file that the log has lost. */
static enum follow_result
end_look(struct batch *batch, const struct store_follower *before)
{
    struct follow *follow = batch->follow;
    enum store_result written = STORE_OK;
    enum follow_result result = carry(batch);

    if (result != FOLLOW_OK)
        return result;
    struct store_follower_marks marks = marks_of(batch);
    if (follow->is_complete)
        complete(batch, &marks);
    if (!is_worth_writing(batch, before))
        return FOLLOW_OK;
    if (!batch->is_open)
        written = store_follower_begin(follow->store, batch->error);
    if (written == STORE_OK)
        written = commit_part(batch, &marks);
    if (written == STORE_OK) {
        follow->noted_at_ms = clock_unix_ms();
        follow->must_compare = false;
    }
    return follow_store_result(follow, written);
}

static void
note_answer(struct follow *follow, const struct batch *batch)
{
    follow->log = batch->log;
    follow->is_complete =
        batch->rows < QUERY_ROWS && batch->deletion_count < QUERY_DELETIONS;
    follow->state.answer_at_ms = clock_unix_ms();
    follow->state.behind =
        batch->log.last > follow->state.cursor ? batch->log.last - follow->state.cursor : 0;
    follow->state.trouble[0] = '\0';
}

/* After a failure the file knows how far it has come: a part may have been committed. */
static void
read_state_again(struct follow *follow)
{
    struct error ignored;
    bool is_follower = false;

    if (follow->store == NULL)
        return;
    store_rollback(follow->store);
    if (store_follower_read(follow->store, &is_follower, &follow->state, &ignored) ==
            STORE_OK &&
        is_follower)
        return;
    store_close(follow->store);
    follow->store = NULL;
}

enum follow_result
follow_look(struct follow *follow, struct error *error)
{
    struct batch batch = {.follow = follow, .error = error};
    const struct store_follower before = follow->state;

    follow->counts.looks++;
    enum follow_result result = read_snapshot(&batch);
    if (result == FOLLOW_OK) {
        note_answer(follow, &batch);
        result = end_look(&batch, &before);
    }
    if (result != FOLLOW_OK)
        read_state_again(follow);
    return result;
}
