/* fuzz_publish.c - any body of a POST: refused with a line of text, or rows that the table takes.
 *
 * The first byte chooses the type. Whatever is accepted is inserted into a real table, made by
 * sql/schema.sql, in a transaction that is rolled back. */
#include "config.h"

#include <unistd.h>

#include "fuzz.h"
#include "base/json.h"
#include "publish/rows.h"
#include "store/store.h"

#define NOW_MS INT64_C(1763769600000)

static char folder[] = "/tmp/rowcast-fuzz.XXXXXX";
static char path[64];
static struct store *store;

static void
remove_table(void)
{
    store_close(store);
    unlink(path);
    rmdir(folder);
}

/* One for all inputs. */
static struct store *
open_table(void)
{
    struct error error = {""};
    struct store_init_result made;

    if (store != NULL)
        return store;
    MUST(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/db", folder);
    struct store_config config = {.path = path, .mode = STORE_WRITE};
    MUST(store_init(&config, STORE_JOURNAL_KEEP, &made, &error) == 0);
    store = store_open(&config, NULL, &error);
    MUST(store != NULL);
    atexit(remove_table);
    return store;
}

static void
check_text(struct slice text)
{
    if (text.p == NULL)
        return;
    MUST(utf8_is_valid(text));
    MUST(memchr(text.p, '\0', text.len) == NULL && text.p[text.len] == '\0');
}

static void
check_row(const struct row *row)
{
    MUST(row->channel.len > 0 && row->data.p != NULL);
    MUST(row->recipient.p == NULL || row->recipient.len > 0);
    MUST(row->collapse_key.p == NULL || row->collapse_key.len > 0);
    MUST(row->expires_at == 0 || row->expires_at >= NOW_MS + 1000);
    check_text(row->channel);
    check_text(row->event);
    check_text(row->data);
    check_text(row->recipient);
    check_text(row->collapse_key);
}

/* The constraints are SQLite's to judge. */
static void
check_table_takes(const struct publish_rows *rows)
{
    struct error error = {""};

    for (size_t i = 0; i < rows->count; i++) {
        struct row row;
        int64_t id = 0;
        publish_rows_get(rows, i, &row);
        check_row(&row);
        MUST(store_insert(store, &row, &id, &error) == STORE_OK);
        MUST(id > 0);
    }
}

static void
check_refused(int status, const struct error *error)
{
    MUST(status == 400);
    MUST(*error->text != '\0');
    for (const char *p = error->text; *p != '\0'; p++)
        MUST((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7F);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    enum publish_type type = fuzz_take_byte(&input) == 'f' ? PUBLISH_FORM : PUBLISH_JSON;
    struct publish_rows rows;
    struct error error = {""};

    publish_rows_init(&rows, NOW_MS);
    int status = publish_rows_parse(&rows, type, input, &error);
    if (status == 0) {
        MUST(rows.count > 0 && rows.count <= PUBLISH_ROWS_MAX);
        MUST(store_begin_write(open_table(), &error) == STORE_OK);
        check_table_takes(&rows);
        store_rollback(open_table());
    } else {
        check_refused(status, &error);
    }
    publish_rows_fini(&rows);
    return 0;
}
