/* test_records.c - events packed into FastCGI records, with marks where a write may stop. */
#include "config.h"

#include "fastcgi/records.h"

#include "../peer.h"

#include "../unit.h"

#define TEST_NAME "records"

#define ID_FIRST 100

/* --- helpers ------------------------------------------------------------------------- */

/* An event's bytes: no two of the same id or length alike. */
static struct slice
make_event(struct buf *buf, int64_t id, size_t len)
{
    buf_clear(buf);
    char *p = buf_reserve(buf, len);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 31 + (size_t)id * 7 + i / 251);
    buf->len = len;
    return (struct slice){p, len};
}

/* What holds of every packing: each record well-formed, not empty, not too long, with a mark at
 * its end; marks that only grow; bodies that are just the input. */
static void
check_packing(const struct records *records, const struct buf *input)
{
    struct peer_answer answer;
    struct buf bodies = {0};
    size_t at = 0;

    for (size_t i = 0; i < records->count; i++) {
        const unsigned char *header = (const unsigned char *)records->bytes.p + at;
        size_t body = (size_t)header[4] << 8 | header[5];
        const struct mark *mark = &records->marks[i];
        assert_in_range(body, 1, RECORD_BODY_MAX);
        at += RECORD_HEADER + body;
        assert_int_equal(mark->end, at);
        if (i > 0) {
            assert_true(mark->cursor >= mark[-1].cursor);
            assert_true(mark->last_sent_id >= mark[-1].last_sent_id);
            assert_true(mark->events >= mark[-1].events);
        }
        assert_true(mark->last_sent_id <= mark->cursor || mark->last_sent_id == 0);
    }
    assert_int_equal(at, records->bytes.len);

    peer_parse(&answer, buf_slice(&records->bytes), 1);
    assert_null(answer.fault);
    assert_int_equal(answer.rest, 0);
    assert_false(answer.out_ended);
    assert_int_equal(answer.records, records->count);
    records_append_bodies(records, &bodies);
    assert_true(slice_equal(buf_slice(&answer.out), buf_slice(input)));
    assert_true(slice_equal(buf_slice(&bodies), buf_slice(input)));
    buf_fini(&bodies);
    peer_answer_fini(&answer);
}

/* `count` events of `len` bytes with the ids from ID_FIRST on. */
static void
pack_equal(struct records *records, struct buf *input, size_t count, size_t len)
{
    struct buf event = {0};

    records_start(records, ID_FIRST - 1);
    for (size_t i = 0; i < count; i++) {
        int64_t id = ID_FIRST + (int64_t)i;
        struct slice bytes = make_event(&event, id, len);
        records_add_event(records, id, bytes, 0);
        buf_append(input, bytes.p, bytes.len);
    }
    assert_int_equal(records_finish(records), 0);
    buf_fini(&event);
}

/* --- whole events -------------------------------------------------------------------- */

static void
test_events_share_a_record_as_long_as_they_fit_whole(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    const int64_t each = RECORD_BODY_MAX / 1000; /* of them fit into a record */
    const int64_t all = 2 * each + each / 2;
    pack_equal(&records, &input, (size_t)all, 1000);
    check_packing(&records, &input);
    assert_int_equal(records.count, 3);
    for (size_t i = 0; i < 3; i++) {
        int64_t whole = i < 2 ? each * ((int64_t)i + 1) : all;
        assert_int_equal(records.marks[i].cut.id, 0);
        assert_int_equal(records.marks[i].events, whole);
        assert_int_equal(records.marks[i].cursor, ID_FIRST + whole - 1);
        assert_int_equal(records.marks[i].last_sent_id, ID_FIRST + whole - 1);
    }
    records_fini(&records);
    buf_fini(&input);
}

static void
test_a_record_may_be_full_to_its_last_byte(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    pack_equal(&records, &input, 3, RECORD_BODY_MAX);
    check_packing(&records, &input);
    assert_int_equal(records.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(records.marks[i].cut.id, 0);

    buf_clear(&input);
    pack_equal(&records, &input, 4, RECORD_BODY_MAX / 2);
    check_packing(&records, &input);
    assert_int_equal(records.count, 2);

    buf_clear(&input);
    pack_equal(&records, &input, 2, RECORD_BODY_MAX / 2 + 1);
    check_packing(&records, &input);
    assert_int_equal(records.count, 2);
    records_fini(&records);
    buf_fini(&input);
}

static void
test_nothing_at_all_is_no_record(void **state)
{
    struct records records = {0};

    (void)state;
    records_start(&records, 7);
    records_add_text(&records, slice_of(""));
    records_skip_to(&records, 12);
    assert_int_equal(records_finish(&records), 0);
    assert_int_equal(records.bytes.len, 0);
    assert_int_equal(records.count, 0);
    assert_int_equal(records.cursor, 12);
    assert_null(records_mark(&records, 0));
    records_fini(&records);
}

/* An empty STDOUT record is the end of the answer (specification section 5.3). */
static void
test_an_empty_event_is_no_record(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    records_start(&records, 0);
    records_add_event(&records, 1, slice_of(""), 0);
    assert_int_equal(records_finish(&records), 0);
    check_packing(&records, &input);
    assert_int_equal(records.bytes.len, 0);
    assert_int_equal(records.cursor, 1);
    assert_int_equal(records.events, 1);

    records_start(&records, 0);
    records_add_event(&records, 1, slice_of("a"), 0);
    records_add_event(&records, 2, slice_of(""), 0);
    records_add_event(&records, 3, slice_of("b"), 0);
    records_add_event(&records, 4, slice_of("c"), 1);
    assert_int_equal(records_finish(&records), 0);
    buf_append_text(&input, "ab");
    check_packing(&records, &input);
    assert_int_equal(records.count, 1);
    assert_int_equal(records.marks[0].cursor, 4);
    assert_int_equal(records.marks[0].events, 4);
    records_fini(&records);
    buf_fini(&input);
}

static void
test_rows_for_others_move_the_cursor_and_tell_nothing(void **state)
{
    struct records records = {0};

    (void)state;
    records_start(&records, 10);
    records_add_event(&records, 12, slice_of("x"), 0);
    records_skip_to(&records, 11); /* never back */
    assert_int_equal(records.cursor, 12);
    records_skip_to(&records, 20);
    assert_int_equal(records_finish(&records), 0);
    assert_int_equal(records.count, 1);
    assert_int_equal(records.marks[0].cursor, 20);
    assert_int_equal(records.marks[0].last_sent_id, 12);
    records_fini(&records);
}

/* Those before an event are done with when the record before it is out. */
static void
test_a_record_speaks_for_the_rows_up_to_the_next_event(void **state)
{
    static const size_t lens[] = {RECORD_BODY_MAX, 3 * RECORD_BODY_MAX};
    struct records records = {0};
    struct buf event = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(lens); i++) {
        records_start(&records, 4);
        records_add_event(&records, 5, slice_of("small"), 0);
        records_add_event(&records, 9, make_event(&event, 9, lens[i]), 0);
        assert_int_equal(records_finish(&records), 0);
        assert_int_equal(records.marks[0].cursor, 8);
        assert_int_equal(records.marks[0].last_sent_id, 5);
        if (records.count > 2) /* half of the event is out, and all before it */
            assert_int_equal(records.marks[1].cursor, 8);
    }
    records_fini(&records);
    buf_fini(&event);
}

/* --- long events --------------------------------------------------------------------- */

static void
test_a_long_event_is_cut_and_each_cut_is_marked(void **state)
{
    struct records records = {0};
    struct buf input = {0};
    struct buf event = {0};
    size_t len = 2 * RECORD_BODY_MAX + 100;

    (void)state;
    records_start(&records, 0);
    records_add_event(&records, 5, slice_of("before"), 0);
    buf_append_text(&input, "before");
    struct slice bytes = make_event(&event, 6, len);
    records_add_event(&records, 6, bytes, 0);
    buf_append(&input, bytes.p, bytes.len);
    records_add_event(&records, 8, slice_of("after"), 0);
    buf_append_text(&input, "after");
    assert_int_equal(records_finish(&records), 0);
    check_packing(&records, &input);

    /* before | a full one | another | 100 and after */
    assert_int_equal(records.count, 4);
    const struct mark *marks = records.marks;
    assert_int_equal(marks[0].cursor, 5);
    assert_int_equal(marks[0].cut.id, 0);
    for (size_t i = 1; i <= 2; i++) {
        assert_int_equal(marks[i].cursor, 5);
        assert_int_equal(marks[i].last_sent_id, 5);
        assert_int_equal(marks[i].events, 1);
        assert_int_equal(marks[i].cut.id, 6);
        assert_int_equal(marks[i].cut.offset, i * RECORD_BODY_MAX);
        assert_int_equal(marks[i].cut.len, len);
        assert_true(marks[i].cut.hash == records_hash(bytes));
    }
    assert_int_equal(marks[3].cut.id, 0);
    assert_int_equal(marks[3].cursor, 8);
    assert_int_equal(marks[3].events, 3);
    records_fini(&records);
    buf_fini(&input);
    buf_fini(&event);
}

static void
test_an_event_one_byte_too_long_takes_two_records(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    pack_equal(&records, &input, 1, RECORD_BODY_MAX + 1);
    check_packing(&records, &input);
    assert_int_equal(records.count, 2);
    assert_int_equal(records.marks[0].cut.offset, RECORD_BODY_MAX);
    assert_int_equal(records.marks[1].cut.id, 0);
    records_fini(&records);
    buf_fini(&input);
}

/* As a stream does whose socket is full: from the mark where it stopped, to the end. */
static void
test_the_rest_of_a_cut_event_completes_it_from_every_mark(void **state)
{
    static const size_t lens[] = {RECORD_BODY_MAX + 1, 2 * RECORD_BODY_MAX,
                                  3 * RECORD_BODY_MAX + 77, 1 << 20};
    struct records whole = {0};
    struct records rest = {0};
    struct buf event = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(lens); i++) {
        struct slice bytes = make_event(&event, 9, lens[i]);
        records_start(&whole, 3);
        records_add_event(&whole, 9, bytes, 0);
        assert_int_equal(records_finish(&whole), 0);
        for (size_t m = 0; m + 1 < whole.count; m++) {
            const struct mark *mark = &whole.marks[m];
            struct buf tail = {0};
            records_start(&rest, mark->cursor);
            records_add_event(&rest, mark->cut.id, bytes, mark->cut.offset);
            assert_int_equal(records_finish(&rest), 0);
            buf_append(&tail, bytes.p + mark->cut.offset, bytes.len - mark->cut.offset);
            check_packing(&rest, &tail);
            assert_int_equal(rest.marks[rest.count - 1].cursor, 9);
            assert_int_equal(rest.marks[rest.count - 1].events, 1);
            if (rest.count > 1) /* a cut of the rest is a cut of the same whole */
                assert_true(rest.marks[0].cut.hash == mark->cut.hash &&
                            rest.marks[0].cut.len == mark->cut.len &&
                            rest.marks[0].cut.offset == mark[1].cut.offset);
            buf_fini(&tail);
        }
    }
    records_fini(&whole);
    records_fini(&rest);
    buf_fini(&event);
}

/* --- text ----------------------------------------------------------------------------- */

static void
test_text_is_no_event(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    records_start(&records, 4);
    records_add_text(&records, slice_of("Content-Type: text/event-stream\r\n\r\n"));
    buf_append_text(&input, "Content-Type: text/event-stream\r\n\r\n");
    assert_int_equal(records_finish(&records), 0);
    check_packing(&records, &input);
    assert_int_equal(records.events, 0);
    assert_int_equal(records.marks[0].cursor, 4);
    assert_int_equal(records.marks[0].last_sent_id, 0);
    records_fini(&records);
    buf_fini(&input);
}

static void
test_long_text_is_spread_over_records(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    records_start(&records, 4);
    records_add_event(&records, 5, slice_of("event"), 0);
    make_event(&input, 0, 3 * RECORD_BODY_MAX);
    records_add_text(&records, buf_slice(&input));
    assert_int_equal(records_finish(&records), 0);
    buf_clear(&input);
    buf_append_text(&input, "event");
    struct buf text = {0};
    make_event(&text, 0, 3 * RECORD_BODY_MAX);
    buf_append(&input, text.p, text.len);
    check_packing(&records, &input);
    assert_int_equal(records.count, 4);
    records_fini(&records);
    buf_fini(&input);
    buf_fini(&text);
}

static void
test_commas_between_events_make_an_array(void **state)
{
    struct records records = {0};
    struct buf bodies = {0};
    struct buf expected = {0};

    (void)state;
    records_start(&records, 0);
    for (int i = 1; i <= 3000; i++) {
        char object[32];
        snprintf(object, sizeof object, "{\"id\":\"%d\"}", i);
        if (records.events > 0)
            records_add_text(&records, slice_of(","));
        records_add_event(&records, i, slice_of(object), 0);
        buf_printf(&expected, "%s%s", i > 1 ? "," : "", object);
    }
    assert_int_equal(records_finish(&records), 0);
    assert_true(records.count > 2);
    check_packing(&records, &expected);
    assert_int_equal(records.events, 3000);
    records_append_bodies(&records, &bodies);
    assert_true(slice_equal(buf_slice(&bodies), buf_slice(&expected)));
    records_fini(&records);
    buf_fini(&bodies);
    buf_fini(&expected);
}

/* --- marks ---------------------------------------------------------------------------- */

static void
test_the_mark_is_that_of_the_last_record_that_is_out(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    pack_equal(&records, &input, 200, 1000);
    assert_null(records_mark(&records, 0));
    for (size_t i = 0; i < records.count; i++) {
        size_t end = records.marks[i].end;
        assert_ptr_equal(records_mark(&records, end), &records.marks[i]);
        assert_ptr_equal(records_mark(&records, end - 1),
                         i == 0 ? NULL : &records.marks[i - 1]);
    }
    records_fini(&records);
    buf_fini(&input);
}

static void
test_a_new_start_forgets_what_was_packed(void **state)
{
    struct records records = {0};
    struct buf input = {0};

    (void)state;
    pack_equal(&records, &input, 100, 5000);
    records_start(&records, 1);
    records_add_event(&records, 2, slice_of("left open"), 0);
    records_start(&records, 7);
    assert_int_equal(records.events, 0);
    assert_int_equal(records.last_sent_id, 0);
    assert_int_equal(records_finish(&records), 0);
    assert_int_equal(records.bytes.len, 0);
    assert_null(records_mark(&records, 0));
    records_add_event(&records, 8, slice_of("y"), 0);
    assert_int_equal(records_finish(&records), 0);
    buf_clear(&input);
    buf_append_text(&input, "y");
    check_packing(&records, &input);
    records_fini(&records);
    buf_fini(&input);
}

static unsigned
next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16 & 0x7fff;
}

static size_t
random_len(unsigned *seed)
{
    static const size_t edges[] = {0,
                                   1,
                                   RECORD_BODY_MAX - 1,
                                   RECORD_BODY_MAX,
                                   RECORD_BODY_MAX + 1,
                                   2 * RECORD_BODY_MAX};
    return next_random(seed) % 4 == 0 ? edges[next_random(seed) % COUNT(edges)]
                                      : next_random(seed) % 6000;
}

static void
test_bodies_joined_are_the_input_whatever_it_is(void **state)
{
    struct records records = {0};
    struct buf input = {0};
    struct buf event = {0};

    (void)state;
    for (unsigned round = 1; round <= 300; round++) {
        unsigned seed = round;
        size_t count = next_random(&seed) % 40;
        buf_clear(&input);
        records_start(&records, 0);
        for (size_t i = 0; i < count; i++) {
            struct slice bytes = make_event(&event, (int64_t)i, random_len(&seed));
            if (next_random(&seed) % 5 == 0)
                records_add_text(&records, bytes);
            else
                records_add_event(&records, (int64_t)i + 1, bytes, 0);
            buf_append(&input, bytes.p, bytes.len);
        }
        assert_int_equal(records_finish(&records), 0);
        check_packing(&records, &input);
    }
    records_fini(&records);
    buf_fini(&input);
    buf_fini(&event);
}

/* --- the rest ------------------------------------------------------------------------- */

static void
test_the_hash_differs_for_changed_events(void **state)
{
    static const char zeros[64] = {0};
    char text[64];

    (void)state;
    memset(text, 'x', sizeof text);
    uint64_t hash = records_hash((struct slice){text, sizeof text});
    assert_true(records_hash((struct slice){text, sizeof text}) == hash);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] ^= 1;
        assert_true(records_hash((struct slice){text, sizeof text}) != hash);
        text[i] ^= 1;
    }
    for (size_t a = 0; a < sizeof zeros; a++) /* lengths too, where all bytes are alike */
        for (size_t b = 0; b < a; b++)
            assert_true(records_hash((struct slice){zeros, a}) !=
                        records_hash((struct slice){zeros, b}));
}

static void
test_the_hash_does_not_depend_on_where_the_bytes_lie(void **state)
{
    char room[64 + 8];
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 37);
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(room + shift, text, sizeof text);
        assert_true(records_hash((struct slice){room + shift, sizeof text}) ==
                    records_hash((struct slice){text, sizeof text}));
    }
}

static void
test_a_header_holds_the_largest_numbers(void **state)
{
    static const unsigned char expected[] = {1, 6, 0xff, 0xfe, 0xff, 0xff, 0, 0};
    unsigned char header[RECORD_HEADER];

    (void)state;
    memset(header, 0xaa, sizeof header);
    record_put_header(header, 6, 0xfffe, 65535);
    assert_memory_equal(header, expected, sizeof expected);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_share_a_record_as_long_as_they_fit_whole),
        cmocka_unit_test(test_a_record_may_be_full_to_its_last_byte),
        cmocka_unit_test(test_nothing_at_all_is_no_record),
        cmocka_unit_test(test_an_empty_event_is_no_record),
        cmocka_unit_test(test_rows_for_others_move_the_cursor_and_tell_nothing),
        cmocka_unit_test(test_a_record_speaks_for_the_rows_up_to_the_next_event),
        cmocka_unit_test(test_a_long_event_is_cut_and_each_cut_is_marked),
        cmocka_unit_test(test_an_event_one_byte_too_long_takes_two_records),
        cmocka_unit_test(test_the_rest_of_a_cut_event_completes_it_from_every_mark),
        cmocka_unit_test(test_text_is_no_event),
        cmocka_unit_test(test_long_text_is_spread_over_records),
        cmocka_unit_test(test_commas_between_events_make_an_array),
        cmocka_unit_test(test_the_mark_is_that_of_the_last_record_that_is_out),
        cmocka_unit_test(test_a_new_start_forgets_what_was_packed),
        cmocka_unit_test(test_bodies_joined_are_the_input_whatever_it_is),
        cmocka_unit_test(test_the_hash_differs_for_changed_events),
        cmocka_unit_test(test_the_hash_does_not_depend_on_where_the_bytes_lie),
        cmocka_unit_test(test_a_header_holds_the_largest_numbers),
    };

    return RUN(tests);
}
