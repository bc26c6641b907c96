/* overview.c - see people/overview.h. Each number is a query of its own, in one list. */
#include "config.h"

#include "people/overview.h"

#include <inttypes.h>

#include "base/json.h"
#include "people/internal.h"

/* ?1: now. Of these tables; the table of notifications has another name here and there. */
static const struct {
    const char *key;
    const char *sql;
} numbers[] = {
    {"streams", "SELECT coalesce(sum(streams), 0) FROM rowcast_presence"},
    {"users", "SELECT count(DISTINCT user) FROM rowcast_presence"},
    {"workers", "SELECT count(*) FROM rowcast_presence_worker WHERE until > ?1"},
    {"read_marks", "SELECT count(*) FROM rowcast_read"},
    {"revocations", "SELECT count(*) FROM rowcast_revocation"},
    {"push_subscriptions", "SELECT count(*) FROM rowcast_push"},
    {"push_failing", "SELECT count(*) FROM rowcast_push WHERE failures > 0"},
    {"push_waiting", "SELECT count(*) FROM rowcast_push WHERE retry_at > ?1"},
};

static enum store_result
ask(struct store *store, const char *sql, int64_t now_ms, int64_t *number,
    struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);
    if (result != STORE_OK)
        return result;
    if (sqlite3_bind_parameter_count(statement) > 0)
        sqlite3_bind_int64(statement, 1, now_ms);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the overview", error);
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
append_log(struct buf *buf, struct store *store, int64_t now_ms, struct error *error)
{
    struct store_marks marks;
    int64_t rows = 0;
    enum store_result result = store_read_marks(store, &marks, error);
    char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", store_table(store));
    if (result == STORE_OK)
        result = ask(store, sql != NULL ? sql : "", now_ms, &rows, error);
    sqlite3_free(sql);
    if (result == STORE_OK)
        buf_printf(buf,
                   "\"tail\":\"%" PRId64 "\",\"low_water\":\"%" PRId64
                   "\",\"rows_kept\":%" PRId64,
                   marks.tail, marks.low_water, rows);
    return result;
}

static enum store_result
append_channels(struct buf *buf, struct store *store, struct error *error)
{
    enum store_result result;
    int code;
    const char *comma = "";
    sqlite3_stmt *statement = store_prepare_once(
        store,
        "SELECT value, count(*) FROM rowcast_presence, json_each(channels) GROUP BY 1 "
        "ORDER BY 2 DESC, 1 LIMIT ?1",
        &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_int(statement, 1, OVERVIEW_CHANNELS_MAX);
    buf_append_text(buf, ",\"channels\":[");
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        buf_printf(buf, "%s{\"channel\":", comma);
        json_append_string(buf, slice_of(name != NULL ? name : ""));
        buf_printf(buf, ",\"readers\":%" PRId64 "}",
                   (int64_t)sqlite3_column_int64(statement, 1));
        comma = ",";
    }
    buf_append_text(buf, "]");
    if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the overview", error);
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
append_people(struct buf *buf, struct store *store, int64_t now_ms, struct error *error)
{
    bool has = false;
    enum store_result result =
        people_has_table(store, "rowcast_presence_user", &has, error);
    if (result != STORE_OK || !has)
        return result;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int64_t number = 0;
        result = ask(store, numbers[i].sql, now_ms, &number, error);
        if (result != STORE_OK)
            return result;
        buf_printf(buf, ",\"%s\":%" PRId64, numbers[i].key, number);
    }
    return append_channels(buf, store, error);
}

enum store_result
overview_append(struct buf *buf, struct store *store, int64_t now_ms, struct error *error)
{
    enum store_result result = store_begin_read(store, error);
    buf_append_text(buf, "{");
    if (result == STORE_OK)
        result = append_log(buf, store, now_ms, error);
    if (result == STORE_OK)
        result = append_people(buf, store, now_ms, error);
    store_end_read(store);
    buf_append_text(buf, ",\"file\":");
    json_append_string(buf, slice_of(store_path(store)));
    buf_append_text(buf, "}");
    return result;
}
