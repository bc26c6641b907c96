/* test_window.c - the newest rows in memory: what it holds, what it lets go, what it counts. */
#include "config.h"

#include "hub/window.h"

#include "base/buf.h"
#include "event/sse.h"

#include "../unit.h"

#define TEST_NAME "window"

#define NO_LIMIT ((size_t)1 << 40)
static const struct hash_key hash_key = {{1, 2}};
#define MAX_EVENT_BYTES 1000

static struct row
make_row(int64_t id, const char *data)
{
    return (struct row){.id = id,
                        .channel = slice_of("orders"),
                        .data = slice_of(data),
                        .data_bytes = strlen(data)};
}

static void
add(struct window *window, int64_t id)
{
    struct row row = make_row(id, "data");

    assert_int_equal(window_add(window, &row), 0);
}

/* channel, recipient and key, any of the last two NULL. */
static struct entry *
add_keyed(struct window *window, int64_t id, const char *channel, const char *recipient,
          const char *key)
{
    struct row row = make_row(id, "data");

    row.channel = slice_of(channel);
    row.recipient = slice_of(recipient);
    row.collapse_key = slice_of(key);
    assert_int_equal(window_add(window, &row), 0);
    return window_at(window, window_count(window) - 1);
}

/* What the window counts beside its entries: the memory of its own lists, once they grew. */
static size_t
lists_bytes(const struct window *window)
{
    size_t bytes = window_bytes(window);

    for (size_t i = 0; i < window_count(window); i++) {
        assert_true(window_at(window, i)->bytes <= bytes);
        bytes -= window_at(window, i)->bytes;
    }
    return bytes;
}

static void
sweep_all(struct window *window)
{
    while (window_sweep(window, 64))
        continue;
}

/* What holds at every moment, once all that was forgotten is freed: ids grow, all are above the
 * floor, bytes are those of the entries and of lists that have room for them, twice over at the
 * most. */
static void
check_sound(struct window *window)
{
    int64_t last = window_floor(window);

    sweep_all(window);
    for (size_t i = 0; i < window_count(window); i++) {
        assert_true(window_at(window, i)->row.id > last);
        last = window_at(window, i)->row.id;
    }
    assert_true(lists_bytes(window) % sizeof(void *) == 0);
    assert_true(lists_bytes(window) <= 4 * 4096 * sizeof(void *));
}

static void
test_a_new_window_is_empty(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    window_reset(window, 41);
    assert_int_equal(window_count(window), 0);
    assert_int_equal(window_bytes(window), 0);
    assert_int_equal(window_floor(window), 41);
    assert_int_equal(window_find(window, 0), 0);
    window_free(window);
    window_free(NULL);
}

static void
test_rows_are_copies_byte_for_byte(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);
    char data[] = "a\0b\xff";
    char channel[] = "orders";
    struct row row = {.id = 7,
                      .created_at = 12,
                      .expires_at = 13,
                      .channel = slice_of(channel),
                      .event = {"", 0},
                      .data = {data, 4},
                      .data_bytes = 4};

    (void)state;
    assert_int_equal(window_add(window, &row), 0);
    memset(data, 'x', sizeof data);
    memset(channel, 'x', sizeof channel);
    const struct row *kept = &window_at(window, 0)->row;
    assert_int_equal(kept->id, 7);
    assert_int_equal(kept->created_at, 12);
    assert_int_equal(kept->expires_at, 13);
    assert_int_equal(kept->data_bytes, 4);
    assert_true(slice_equal(kept->data, (struct slice){"a\0b\xff", 4}));
    assert_true(slice_equal(kept->channel, slice_of("orders")));
    assert_null(kept->recipient.p); /* NULL and empty are not the same */
    assert_non_null(kept->event.p);
    assert_int_equal(kept->event.len, 0);
    assert_null(kept->collapse_key.p);
    window_free(window);
}

static void
test_find_gives_the_first_row_after_an_id(void **state)
{
    static const int64_t ids[] = {5, 6, 9, 100, 101, 500};
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    for (size_t i = 0; i < COUNT(ids); i++)
        add(window, ids[i]);
    for (int64_t after = 0; after < 510; after++) {
        size_t expected = 0;
        while (expected < COUNT(ids) && ids[expected] <= after)
            expected++;
        assert_int_equal(window_find(window, after), expected);
    }
    assert_int_equal(window_find(window, INT64_MIN), 0);
    assert_int_equal(window_find(window, INT64_MAX), COUNT(ids));
    window_free(window);
}

static void
test_it_grows_and_goes_round_and_keeps_the_order(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);
    int64_t next = 1;

    (void)state;
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 100 + round * 50; i++)
            add(window, next++);
        int64_t drop = window_at(window, 0)->row.id + 60 + round * 20;
        window_drop_up_to(window, drop); /* so that the ring's start moves */
        assert_int_equal(window_floor(window), drop);
        check_sound(window);
        for (size_t i = 0; i < window_count(window); i++)
            assert_int_equal(window_at(window, i)->row.id, drop + 1 + (int64_t)i);
        assert_int_equal(window_count(window), next - 1 - drop);
    }
    window_free(window);
}

/* --- letting go ----------------------------------------------------------------------- */

static void
test_trim_lets_the_oldest_go_until_the_bytes_fit(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    add(window, 1);
    size_t one = window_bytes(window);
    window_free(window);

    window = window_new(10 * one, MAX_EVENT_BYTES, &hash_key);
    for (int64_t id = 1; id <= 25; id++)
        add(window, id);
    assert_int_equal(window_count(window), 25); /* adding lets nothing go */
    window_trim(window, 25);
    assert_int_equal(window_count(window), 10);
    assert_int_equal(window_floor(window), 15);
    assert_int_equal(window_at(window, 0)->row.id, 16);
    check_sound(window);
    window_trim(window, 25);
    assert_int_equal(window_count(window), 10);
    window_free(window);
}

static void
test_trim_keeps_what_is_still_to_be_sent(void **state)
{
    struct window *window = window_new(0, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    window_reset(window, 9);
    for (int64_t id = 10; id < 20; id++)
        add(window, id);
    window_trim(window, 14);
    assert_int_equal(window_count(window), 5);
    assert_int_equal(window_floor(window), 14);
    window_trim(window, 9);
    assert_int_equal(window_count(window), 5);
    window_trim(window, 19);
    assert_int_equal(window_count(window), 0);
    assert_int_equal(window_bytes(window), 0);
    assert_int_equal(window_floor(window), 19);
    window_free(window);
}

static void
test_a_row_larger_than_the_window_is_in_it_all_the_same(void **state)
{
    struct window *window = window_new(100, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    add(window, 1);
    assert_true(window_bytes(window) > 100);
    window_trim(window, 0);
    assert_int_equal(window_count(window), 1);
    window_free(window);
}

static void
test_drop_forgets_rows_and_never_lowers_the_floor(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    window_reset(window, 10);
    for (int64_t id = 11; id <= 20; id++)
        add(window, id);
    window_drop_up_to(window, 5);
    assert_int_equal(window_floor(window), 10);
    assert_int_equal(window_count(window), 10);
    window_drop_up_to(window, 13);
    assert_int_equal(window_floor(window), 13);
    assert_int_equal(window_count(window), 7);
    window_drop_up_to(window, 1000); /* beyond all that it has */
    assert_int_equal(window_floor(window), 1000);
    assert_int_equal(window_count(window), 0);
    window_free(window);
}

/* However many rows are forgotten at once, by a prune or with the whole database, their memory
 * is freed a few at a time, and what comes meanwhile is kept. */
static void
test_what_is_forgotten_is_freed_a_few_at_a_time(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    for (int64_t id = 1; id <= 1000; id++)
        add_keyed(window, id, "a", NULL, id % 2 ? "k" : NULL);
    size_t before = window_bytes(window);
    size_t one = window_at(window, 0)->bytes;
    window_drop_up_to(window, 400);
    assert_int_equal(window_bytes(window), before);
    assert_true(window_sweep(window, 16));
    assert_true(before - window_bytes(window) <= 16 * (one + 8));
    window_reset(window, 5000);
    add(window, 5001);
    assert_true(window_bytes(window) > before / 2);
    size_t sweeps = 0;
    for (; window_sweep(window, 16); sweeps++)
        assert_int_equal(window_count(window), 1);
    assert_true(sweeps >= (1000 - 16) / 16);
    assert_int_equal(window_bytes(window), window_at(window, 0)->bytes);
    assert_int_equal(window_floor(window), 5000);
    window_free(window);
}

static void
test_reset_empties_and_sets_any_floor(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    for (int64_t id = 1; id <= 300; id++)
        add_keyed(window, id, "c", NULL, "k");
    window_reset(window, INT64_MIN);
    assert_int_equal(window_floor(window), INT64_MIN);
    assert_int_equal(window_count(window), 0);
    sweep_all(window);
    assert_int_equal(window_bytes(window), 0);
    add(window, -5); /* foreign tables may have such ids */
    assert_int_equal(window_find(window, -6), 0);
    assert_int_equal(window_find(window, -5), 1);
    check_sound(window);
    window_free(window);
}

/* --- collapse keys -------------------------------------------------------------------- */

static void
test_a_newer_row_replaces_one_with_the_same_channel_recipient_and_key(void **state)
{
    static const char *const keys[][3] = {
        /* channel, recipient, key: all different */
        {"a", NULL, "k"}, {"b", NULL, "k"}, {"a", NULL, "l"},
        {"a", "u", "k"},  {"a", "v", "k"},  {"a", "", "k"},
        {"a", NULL, ""},  {"a", "k", "u"},  {"ab", NULL, "k"}};
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);
    struct entry *first[COUNT(keys)];
    int64_t id = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++)
        first[i] = add_keyed(window, ++id, keys[i][0], keys[i][1], keys[i][2]);
    for (size_t i = 0; i < COUNT(keys); i++)
        CHECK(!first[i]->superseded, "key %zu\n", i);
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct entry *second = add_keyed(window, ++id, keys[i][0], keys[i][1], keys[i][2]);
        CHECK(first[i]->superseded, "key %zu\n", i);
        CHECK(!second->superseded, "key %zu\n", i);
        for (size_t k = i + 1; k < COUNT(keys); k++)
            CHECK(!first[k]->superseded, "key %zu by key %zu\n", k, i);
    }
    window_free(window);
}

/* More of them than the window has places to remember them by. */
static void
test_none_of_many_that_differ_in_one_thing_replaces_another(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    for (int64_t id = 1; id <= 3000; id++) {
        char text[16];
        snprintf(text, sizeof text, "%d", (int)id);
        add_keyed(window, id, id % 3 == 0 ? text : "a", id % 3 == 1 ? text : "u",
                  id % 3 == 2 ? text : "k");
    }
    for (size_t i = 0; i < window_count(window); i++)
        assert_false(window_at(window, i)->superseded);
    window_free(window);
}

static void
test_rows_without_a_key_replace_nothing(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    for (int64_t id = 1; id <= 10; id++)
        add_keyed(window, id, "a", NULL, id % 2 ? NULL : "k");
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(window_at(window, i)->superseded, i % 2 == 1 && i < 9);
    window_free(window);
}

static void
test_a_row_that_is_gone_is_replaced_by_none(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    add_keyed(window, 1, "a", NULL, "k");
    window_drop_up_to(window, 1);
    struct entry *second = add_keyed(window, 2, "a", NULL, "k"); /* ASan watches */
    assert_false(second->superseded);
    add_keyed(window, 3, "a", NULL, "k");
    assert_true(second->superseded);
    window_reset(window, 3);
    add_keyed(window, 4, "a", NULL, "k");
    assert_int_equal(window_count(window), 1);
    window_free(window);
}

/* What is marked is always rightly marked; the other way round a clash of hashes may hide one
 * now and then, which the contract allows. */
static void
test_thousands_of_keys_are_replaced_rightly_while_it_grows(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);
    size_t marked = 0;
    size_t replaced = 0;

    (void)state;
    for (int64_t id = 1; id <= 4000; id++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", (int)(id * 7 % 60));
        add_keyed(window, id, id % 2 ? "a" : "b", id % 3 ? NULL : "u", key);
        if (id % 100 == 0)
            window_drop_up_to(window, id / 3);
    }
    for (size_t i = 0; i < window_count(window); i++) {
        const struct entry *entry = window_at(window, i);
        bool newer = false;
        for (size_t k = i + 1; k < window_count(window) && !newer; k++) {
            const struct row *row = &window_at(window, k)->row;
            newer = slice_equal(row->channel, entry->row.channel) &&
                    slice_equal(row->recipient, entry->row.recipient) &&
                    slice_equal(row->collapse_key, entry->row.collapse_key);
        }
        assert_true(newer || !entry->superseded);
        replaced += newer;
        marked += entry->superseded;
    }
    assert_true(replaced > 1000);
    assert_true(marked * 10 >= replaced * 9);
    check_sound(window);
    window_free(window);
}

/* --- encodings ------------------------------------------------------------------------ */

static void
test_each_format_is_encoded_once_and_counted(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);
    struct row row = make_row(3, "line\nline");

    (void)state;
    assert_int_equal(window_add(window, &row), 0);
    struct entry *entry = window_at(window, 0);
    for (int format = 0; format < FORMATS; format++) {
        struct buf expected = {0};
        size_t before = window_bytes(window);
        sse_append_row(&expected, (enum format)format, &row, MAX_EVENT_BYTES);
        struct slice once = window_encoded(window, entry, (enum format)format);
        assert_true(slice_equal(once, buf_slice(&expected)));
        size_t after = window_bytes(window);
        assert_in_range(after - before, expected.len, expected.len + 64);
        struct slice twice = window_encoded(window, entry, (enum format)format);
        assert_ptr_equal(once.p, twice.p);
        assert_int_equal(window_bytes(window), after);
        buf_fini(&expected);
    }
    check_sound(window);
    window_reset(window, 3);
    sweep_all(window);
    assert_int_equal(window_bytes(window), 0);
    window_free(window);
}

static void
test_a_row_that_was_too_large_quotes_the_limit(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);
    struct row row = {
        .id = 3, .channel = slice_of("c"), .data_bytes = 5000, .too_large = true};

    (void)state;
    assert_int_equal(window_add(window, &row), 0);
    struct slice event = window_encoded(window, window_at(window, 0), FORMAT_SSE);
    const char *expected = "id: 3\nevent: rowcast:too-large\n"
                           "data: {\"id\":\"3\",\"bytes\":5000,\"limit\":1000}\n\n";
    assert_true(slice_equal(event, slice_of(expected)));
    window_free(window);
}

static void
test_encodings_count_when_the_window_is_trimmed(void **state)
{
    struct window *window = window_new(20000, MAX_EVENT_BYTES, &hash_key);

    (void)state;
    for (int64_t id = 1; id <= 30; id++)
        add(window, id);
    window_trim(window, 30);
    assert_int_equal(window_count(window), 30);
    for (size_t i = 0; i < 30; i++)
        for (int format = 0; format < FORMATS; format++)
            window_encoded(window, window_at(window, i), (enum format)format);
    size_t full = window_bytes(window);
    window_trim(window, 30);
    assert_true(full <= 20000 || window_count(window) < 30);
    assert_true(window_bytes(window) <= 20000);
    check_sound(window);
    window_free(window);
}

/* Keys that fall into one bucket of 1024 under FNV-1a, which whoever publishes can compute. */
static void
test_keys_made_to_collide_do_not(void **state)
{
    struct window *window = window_new(NO_LIMIT, MAX_EVENT_BYTES, &hash_key);
    char key[16];
    unsigned number = 0;

    (void)state;
    for (int64_t id = 1; id <= 1000;) {
        uint64_t hash = UINT64_C(14695981039346656037);
        snprintf(key, sizeof key, "k%u", number++);
        for (const char *p = key; *p != '\0'; p++)
            hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
        if (((hash ^ hash >> 32) & 1023) == 0)
            add_keyed(window, id++, "c", NULL, key);
    }
    assert_in_range(window_longest_chain(window), 1, 10);
    window_free(window);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_window_is_empty),
        cmocka_unit_test(test_rows_are_copies_byte_for_byte),
        cmocka_unit_test(test_find_gives_the_first_row_after_an_id),
        cmocka_unit_test(test_it_grows_and_goes_round_and_keeps_the_order),
        cmocka_unit_test(test_trim_lets_the_oldest_go_until_the_bytes_fit),
        cmocka_unit_test(test_trim_keeps_what_is_still_to_be_sent),
        cmocka_unit_test(test_a_row_larger_than_the_window_is_in_it_all_the_same),
        cmocka_unit_test(test_drop_forgets_rows_and_never_lowers_the_floor),
        cmocka_unit_test(test_what_is_forgotten_is_freed_a_few_at_a_time),
        cmocka_unit_test(test_reset_empties_and_sets_any_floor),
        cmocka_unit_test(
            test_a_newer_row_replaces_one_with_the_same_channel_recipient_and_key),
        cmocka_unit_test(test_none_of_many_that_differ_in_one_thing_replaces_another),
        cmocka_unit_test(test_rows_without_a_key_replace_nothing),
        cmocka_unit_test(test_a_row_that_is_gone_is_replaced_by_none),
        cmocka_unit_test(test_thousands_of_keys_are_replaced_rightly_while_it_grows),
        cmocka_unit_test(test_each_format_is_encoded_once_and_counted),
        cmocka_unit_test(test_a_row_that_was_too_large_quotes_the_limit),
        cmocka_unit_test(test_encodings_count_when_the_window_is_trimmed),
        cmocka_unit_test(test_keys_made_to_collide_do_not),
    };

    return RUN(tests);
}
