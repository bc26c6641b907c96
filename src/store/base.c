/* base.c - moves the ids of a table on, so that no id is given a second time.
 *
 * After a backup was restored, ids that readers have passed could be given again, and the readers
 * would skip those rows. So the table gets a base: a number above all that may have been an id,
 * from which its sequence continues. A reader with a cursor from before is then below the base and
 * gets a gap event (store/gap.c). store/schema.c calls it when it repairs a table, `rowcast
 * rebase` when its user knows better. */
#include "config.h"

#include "store/internal.h"

#include <time.h>

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A base above all that may have been an id: a reader's cursor from before is then below it. */
static int64_t
new_base(const struct store_marks *marks, int64_t above)
{
    int64_t highest = now_ms();

    if (marks->tail > highest)
        highest = marks->tail;
    return (above > highest ? above : highest) + 1;
}

static enum store_result
write_base(struct store *store, int64_t base, struct error *error)
{
    char *sql = sqlite3_mprintf("UPDATE rowcast_meta SET base = %lld WHERE table_name = %Q;"
                                "DELETE FROM sqlite_sequence WHERE name = %Q;"
                                "INSERT INTO sqlite_sequence(name, seq) VALUES (%Q, %lld)",
                                (long long)base, store->table, store->table, store->table,
                                (long long)base);

    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, "move the ids", error);
    enum store_result result = store_execute(store, sql, "move the ids", error);
    sqlite3_free(sql);
    return result;
}

enum store_result
store_move_ids_on(struct store *store, int64_t *moved_to, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_read_marks(store, &marks, error);

    if (result != STORE_OK || store_ids_are_new(&marks))
        return result;
    *moved_to = new_base(&marks, 0);
    return write_base(store, *moved_to, error);
}

static enum store_result
rebase(struct store *store, int64_t above, int64_t *base, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_begin_write(store, error);

    if (result == STORE_OK)
        result = store_read_marks(store, &marks, error);
    if (result == STORE_OK) {
        *base = new_base(&marks, above);
        if (*base > ROW_ID_MAX) {
            error_set(error, "no id is left above %lld: give a lower --above",
                      (long long)(*base - 1));
            result = STORE_FAILED;
        }
    }
    if (result == STORE_OK)
        result = write_base(store, *base, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}

int
store_rebase(const struct store_config *config, int64_t above, int64_t *base,
             struct error *error)
{
    struct store_config own = *config;

    own.mode = STORE_WRITE;
    if (above > ROW_ID_MAX)
        return error_set(error, "%lld is above every possible id: give a lower --above",
                         (long long)above);
    struct store *store = store_open(&own, NULL, error);
    if (store == NULL)
        return -1;
    enum store_result result = rebase(store, above, base, error);
    store_close(store);
    return result == STORE_OK ? 0 : -1;
}
