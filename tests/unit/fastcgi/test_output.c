/* test_output.c - bytes out, over real sockets and pipes that take only little at a time. */
#include "config.h"

#include "fastcgi/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../peer.h"
#include "fastcgi/records.h"

#include "../unit.h"

#define TEST_NAME "output"

#define TINY 1 /* the kernel makes its minimum of it: some 4 KiB */
#define EVENTS 60

/* An output, both ends of its descriptor, and what the output asked of its owner. */
struct line {
    struct output output;
    int peer_fd;
    struct buf got; /* what the peer has read */
    int released;
    int dropped;
};

static struct line *
line_of(struct output *output)
{
    return (struct line *)(void *)((char *)output - offsetof(struct line, output));
}

static void
on_arm(struct output *output)
{
    (void)output;
}

static void
on_release(struct output *output)
{
    line_of(output)->released++;
}

static void
on_drop(struct output *output)
{
    line_of(output)->dropped++;
}

static const struct output_transport transport = {on_arm, on_arm, on_release, on_drop};

typedef void (*pair_fn)(int pair[2], int send_bytes);

static void
pipe_pair(int pair[2], int send_bytes)
{
    int ends[2];

    (void)send_bytes;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 4096);
    pair[0] = ends[1];
    pair[1] = ends[0];
}

static void
line_init(struct line *line, pair_fn make, int send_bytes)
{
    int pair[2];

    make(pair, send_bytes);
    *line = (struct line){.output = {.transport = &transport,
                                     .fd = pair[0],
                                     .request_id = 1,
                                     .plain = make == pipe_pair},
                          .peer_fd = pair[1]};
}

static void
line_fini(struct line *line)
{
    output_fini(&line->output);
    close(line->output.fd);
    if (line->peer_fd >= 0)
        close(line->peer_fd);
    buf_fini(&line->got);
}

static void
line_read(struct line *line, size_t max)
{
    assert_true(peer_read(line->peer_fd, &line->got, max));
}

/* Events of many lengths, some over several records. */
static void
pack(struct records *records, unsigned salt)
{
    struct buf event = {0};

    records_start(records, 0);
    for (unsigned i = 0; i < EVENTS; i++) {
        size_t len = i % 10 == 9 ? 40000 : 100 + (i * 7919 + salt) % 9000;
        char *p = buf_reserve(&event, len);
        for (size_t k = 0; k < len; k++)
            p[k] = (char)(k * 13 + i + salt);
        records_add_event(records, i + 1, (struct slice){p, len}, 0);
    }
    assert_int_equal(records_finish(records), 0);
    buf_fini(&event);
}

static struct slice
after(struct slice bytes, size_t taken)
{
    return (struct slice){bytes.p + taken, bytes.len - taken};
}

static bool
is_record_end(const struct records *records, size_t at)
{
    const struct mark *mark = records_mark(records, at);

    return at == 0 || (mark != NULL && mark->end == at);
}

/* As a stream does: sends on from `taken` whenever nothing is left over, until all is out. The
 * peer reads a little in between. */
static void
send_all(struct line *line, const struct records *records, size_t read_step)
{
    struct slice bytes = buf_slice(&records->bytes);
    size_t out = 0;
    size_t taken;
    int blocked = 0;

    while (out < bytes.len || !output_is_clear(&line->output)) {
        enum output_result result = output_flush(&line->output);
        if (result == OUTPUT_SENT) {
            result = output_send(&line->output, after(bytes, out), &taken);
            out += taken;
            assert_true(is_record_end(records, out));
            assert_true(output_pending_bytes(&line->output) <
                        RECORD_HEADER + RECORD_BODY_MAX);
        }
        assert_int_not_equal(result, OUTPUT_GONE);
        blocked += result == OUTPUT_BLOCKED;
        line_read(line, read_step);
    }
    line_read(line, SIZE_MAX);
    assert_true(blocked > 3);
}

/* --- records out ---------------------------------------------------------------------- */

static void
test_all_is_out_at_once_where_there_is_room(void **state)
{
    struct line line;
    struct records records = {0};
    size_t taken = 0;

    (void)state;
    line_init(&line, peer_socketpair, 1 << 20);
    records_start(&records, 0);
    records_add_event(&records, 1, slice_of("data: x\n\n"), 0);
    assert_int_equal(records_finish(&records), 0);
    assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                     OUTPUT_SENT);
    assert_int_equal(taken, records.bytes.len);
    assert_true(output_is_clear(&line.output));
    assert_int_equal(output_pending_bytes(&line.output), 0);
    line_read(&line, SIZE_MAX);
    assert_true(slice_equal(buf_slice(&line.got), buf_slice(&records.bytes)));
    assert_int_equal(output_flush(&line.output), OUTPUT_SENT);
    records_fini(&records);
    line_fini(&line);
}

static void
test_a_full_socket_keeps_only_the_rest_of_the_record_it_is_in(void **state)
{
    static const pair_fn pairs[] = {peer_socketpair, peer_tcp_pair};

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct line line;
        struct records records = {0};
        size_t taken = 0;
        line_init(&line, pairs[i], TINY);
        pack(&records, 1);
        assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                         OUTPUT_BLOCKED);
        assert_true(taken > 0 && taken < records.bytes.len);
        assert_true(is_record_end(&records, taken));
        size_t rest = output_pending_bytes(&line.output);
        assert_true(rest < RECORD_HEADER + RECORD_BODY_MAX);
        while (output_flush(&line.output) == OUTPUT_BLOCKED)
            line_read(&line, SIZE_MAX);
        while (line.got.len < taken)
            line_read(&line, SIZE_MAX);
        assert_int_equal(line.got.len, taken); /* not a byte of the next record */
        assert_memory_equal(line.got.p, records.bytes.p, taken);
        records_fini(&records);
        line_fini(&line);
    }
}

static void
test_resumed_bytes_are_the_input_and_well_formed(void **state)
{
    static const pair_fn pairs[] = {peer_socketpair, peer_tcp_pair};
    static const size_t steps[] = {100, 777, 5000, 70000};

    (void)state;
    for (size_t i = 0; i < COUNT(pairs) * COUNT(steps); i++) {
        struct line line;
        struct records records = {0};
        struct peer_answer answer;
        line_init(&line, pairs[i % COUNT(pairs)], TINY);
        pack(&records, (unsigned)i);
        send_all(&line, &records, steps[i / COUNT(pairs)]);
        while (line.got.len < records.bytes.len)
            line_read(&line, SIZE_MAX);
        assert_true(slice_equal(buf_slice(&line.got), buf_slice(&records.bytes)));
        peer_parse(&answer, buf_slice(&line.got), 1);
        assert_null(answer.fault);
        assert_int_equal(answer.rest, 0);
        peer_answer_fini(&answer);
        records_fini(&records);
        line_fini(&line);
    }
}

/* A heartbeat as the peer may get any number of. */
static struct slice
beat(void)
{
    static const char record[] = "\1\6\0\1\0\3\0\0:\n\n";

    return (struct slice){record, sizeof record - 1};
}

static void
test_on_a_socket_full_to_the_brim_nothing_is_begun(void **state)
{
    struct line line;
    struct records records = {0};
    size_t taken = 1;

    (void)state;
    line_init(&line, peer_socketpair, TINY);
    assert_true(peer_fill(line.output.fd, beat()) > 0);
    pack(&records, 1);
    assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                     OUTPUT_BLOCKED);
    assert_int_equal(taken, 0);
    assert_true(output_is_clear(&line.output));
    records_fini(&records);
    line_fini(&line);
}

/* A reply of the protocol (FCGI_GET_VALUES_RESULT and the like) may leave a rest behind the
 * stream's back: what the stream sends then must not get into the middle of it. */
static void
test_a_send_does_not_overtake_what_is_left_over(void **state)
{
    struct line line;
    struct records records = {0};
    size_t taken = 1;

    (void)state;
    line_init(&line, peer_socketpair, TINY);
    size_t beats = peer_fill(line.output.fd, beat());
    assert_int_equal(output_push(&line.output, beat()), OUTPUT_BLOCKED);
    line_read(&line, SIZE_MAX); /* now there is room */
    pack(&records, 1);
    assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                     OUTPUT_BLOCKED);
    assert_int_equal(taken, 0);
    send_all(&line, &records, 1000);

    size_t first = (beats + 1) * beat().len;
    assert_int_equal(line.got.len, first + records.bytes.len);
    assert_memory_equal(line.got.p + first, records.bytes.p, records.bytes.len);
    records_fini(&records);
    line_fini(&line);
}

static void
test_records_carry_the_request_id_of_the_peer(void **state)
{
    struct line line;
    struct records records = {0};
    struct buf before = {0};
    struct peer_answer answer;
    struct peer_answer expected;

    (void)state;
    line_init(&line, peer_socketpair, TINY);
    line.output.request_id = 0xabcd;
    pack(&records, 3);
    buf_append(&before, records.bytes.p, records.bytes.len);
    send_all(&line, &records, 3000);
    assert_true(slice_equal(buf_slice(&records.bytes), buf_slice(&before))); /* shared */
    peer_parse(&answer, buf_slice(&line.got), 0xabcd);
    peer_parse(&expected, buf_slice(&records.bytes), 1);
    assert_null(answer.fault);
    assert_int_equal(answer.rest, 0);
    assert_true(slice_equal(buf_slice(&answer.out), buf_slice(&expected.out)));
    assert_int_equal(line.output.request_id, 0xabcd);
    peer_answer_fini(&answer);
    peer_answer_fini(&expected);
    buf_fini(&before);
    records_fini(&records);
    line_fini(&line);
}

/* --- plain CGI ------------------------------------------------------------------------ */

static void
test_a_pipe_gets_the_bodies_alone(void **state)
{
    static const size_t steps[] = {1, 100, 4096, 70000};

    (void)state;
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct line line;
        struct records records = {0};
        struct buf bodies = {0};
        line_init(&line, pipe_pair, 0);
        if (steps[i] == 1) { /* slow: few bytes, and each record's end is met */
            records_start(&records, 0);
            for (int id = 1; id <= 3; id++) {
                char text[4000];
                memset(text, 'a' + id, sizeof text);
                records_add_event(&records, id, (struct slice){text, sizeof text}, 0);
            }
            assert_int_equal(records_finish(&records), 0);
        } else {
            pack(&records, (unsigned)i);
        }
        send_all(&line, &records, steps[i]);
        records_append_bodies(&records, &bodies);
        assert_true(slice_equal(buf_slice(&line.got), buf_slice(&bodies)));
        assert_int_equal(output_end(&line.output),
                         OUTPUT_SENT); /* no records at the end either */
        line_read(&line, SIZE_MAX);
        assert_int_equal(line.got.len, bodies.len);
        buf_fini(&bodies);
        records_fini(&records);
        line_fini(&line);
    }
}

static void
test_a_pipe_takes_more_records_than_one_writev_does(void **state)
{
    struct line line;
    struct records records = {0};
    struct buf bodies = {0};
    char text[10];
    size_t taken = 0;

    (void)state;
    line_init(&line, pipe_pair, 0);
    memset(text, 'x', sizeof text);
    for (int id = 1; id <= 200; id++) { /* each in a record of its own */
        struct records one = {0};
        records_start(&one, 0);
        records_add_event(&one, id, (struct slice){text, sizeof text}, 0);
        assert_int_equal(records_finish(&one), 0);
        buf_append(&records.bytes, one.bytes.p, one.bytes.len);
        buf_append(&bodies, text, sizeof text);
        records_fini(&one);
    }
    assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                     OUTPUT_SENT);
    assert_int_equal(taken, records.bytes.len);
    line_read(&line, SIZE_MAX);
    assert_true(slice_equal(buf_slice(&line.got), buf_slice(&bodies)));
    buf_fini(&bodies);
    records_fini(&records);
    line_fini(&line);
}

static void
test_a_pipe_that_is_full_in_a_record_keeps_its_rest(void **state)
{
    struct line line;
    struct records records = {0};
    size_t taken = 0;

    (void)state;
    line_init(&line, pipe_pair, 0);
    pack(&records, 1);
    assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                     OUTPUT_BLOCKED);
    assert_true(taken > 0 && is_record_end(&records, taken));
    assert_true(output_pending_bytes(&line.output) > 0);
    assert_int_equal(output_end(&line.output), OUTPUT_BLOCKED);
    line_read(&line, SIZE_MAX);
    while (output_flush(&line.output) == OUTPUT_BLOCKED)
        line_read(&line, SIZE_MAX);
    assert_int_equal(output_end(&line.output), OUTPUT_SENT);
    records_fini(&records);
    line_fini(&line);
}

/* --- a peer that is gone -------------------------------------------------------------- */

static void
test_a_gone_peer_is_an_error_of_every_call_and_no_signal(void **state)
{
    static const pair_fn pairs[] = {peer_socketpair, peer_tcp_pair, pipe_pair};

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct line line;
        struct records records = {0};
        size_t taken = 0;
        line_init(&line, pairs[i], TINY);
        pack(&records, 1);
        assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                         OUTPUT_BLOCKED);
        close(line.peer_fd);
        line.peer_fd = -1;
        if (pairs[i] == peer_tcp_pair)
            usleep(10000); /* the reset is on its way */
        if (!output_is_clear(&line.output))
            assert_int_equal(output_flush(&line.output), OUTPUT_GONE);
        output_fini(&line.output);
        assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                         OUTPUT_GONE);
        assert_int_equal(output_push(&line.output, beat()), OUTPUT_GONE);
        if (!line.output.plain)
            assert_int_equal(output_end(&line.output), OUTPUT_GONE);
        output_answer(&line.output, slice_of("Status: 200 OK\r\n\r\n"));
        assert_int_equal(line.dropped, 1);
        assert_int_equal(line.released, 0);
        records_fini(&records);
        line_fini(&line);
    }
}

/* --- ends and short answers ----------------------------------------------------------- */

static void
test_the_end_comes_behind_what_is_left_over(void **state)
{
    struct line line;
    struct records records = {0};
    struct peer_answer answer;
    size_t taken = 0;

    (void)state;
    line_init(&line, peer_socketpair, TINY);
    line.output.request_id = 7;
    pack(&records, 1);
    assert_int_equal(output_send(&line.output, buf_slice(&records.bytes), &taken),
                     OUTPUT_BLOCKED);
    assert_int_equal(output_end(&line.output), OUTPUT_BLOCKED);
    while (output_flush(&line.output) == OUTPUT_BLOCKED)
        line_read(&line, 1000);
    line_read(&line, SIZE_MAX);
    peer_parse(&answer, buf_slice(&line.got), 7);
    assert_null(answer.fault);
    assert_true(answer.out_ended && answer.ended);
    assert_int_equal(answer.rest, 0);
    assert_int_equal(line.got.len, taken + 24);
    peer_answer_fini(&answer);
    records_fini(&records);
    line_fini(&line);
}

static void
test_a_peer_that_never_reads_is_given_up_in_the_end(void **state)
{
    struct line line;
    static char block[65536];
    enum output_result result;
    size_t pushed = 0;

    (void)state;
    line_init(&line, peer_socketpair, TINY);
    while ((result = output_push(&line.output, (struct slice){block, sizeof block})) ==
               OUTPUT_BLOCKED &&
           pushed < (64u << 20))
        pushed += sizeof block;
    assert_int_equal(result, OUTPUT_GONE);
    assert_true(output_pending_bytes(&line.output) <= (8u << 20));
    line_fini(&line);
}

/* `len` bytes, as a status page has them. */
static struct slice
make_text(struct buf *buf, size_t len)
{
    buf_clear(buf);
    buf_append_text(buf, "Content-Type: text/plain\r\n\r\n");
    while (buf->len < len)
        buf_printf(buf, "line %zu\n", buf->len);
    return buf_slice(buf);
}

static void
test_a_short_answer_comes_whole_and_is_ended(void **state)
{
    static const struct {
        size_t len;
        uint16_t request_id;
        int send_bytes;
    } cases[] = {{200, 1, 1 << 20},
                 {200, 300, 1 << 20},
                 {100000, 1, 1 << 20},
                 {100000, 1, TINY},
                 {100000, 7, TINY},
                 {RECORD_BODY_MAX, 1, TINY},
                 {RECORD_BODY_MAX + 1, 0xffff, TINY}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct line line;
        struct buf text = {0};
        struct peer_answer answer;
        line_init(&line, peer_socketpair, cases[i].send_bytes);
        line.output.request_id = cases[i].request_id;
        output_answer(&line.output, make_text(&text, cases[i].len));
        assert_int_equal(line.released, 1);
        assert_int_equal(line.dropped, 0);
        while (output_flush(&line.output) == OUTPUT_BLOCKED)
            line_read(&line, 999);
        line_read(&line, SIZE_MAX);
        peer_parse(&answer, buf_slice(&line.got), cases[i].request_id);
        CHECK(answer.fault == NULL, "case %zu: %s\n", i, answer.fault);
        CHECK(answer.ended && answer.rest == 0, "case %zu\n", i);
        assert_true(slice_equal(buf_slice(&answer.out), buf_slice(&text)));
        peer_answer_fini(&answer);
        buf_fini(&text);
        line_fini(&line);
    }
}

static void
test_a_short_answer_waits_behind_what_is_left_over(void **state)
{
    struct line line;
    struct buf text = {0};
    struct peer_answer answer;

    (void)state;
    line_init(&line, peer_socketpair, TINY);
    peer_fill(line.output.fd, beat());
    assert_int_equal(output_push(&line.output, beat()), OUTPUT_BLOCKED);
    line_read(&line, SIZE_MAX);
    output_answer(&line.output, make_text(&text, 5000));
    assert_int_equal(line.released, 1);
    while (output_flush(&line.output) == OUTPUT_BLOCKED)
        line_read(&line, 999);
    line_read(&line, SIZE_MAX);
    peer_parse(&answer, buf_slice(&line.got), 1);
    assert_null(answer.fault);
    assert_true(answer.ended);
    assert_true(answer.out.len > text.len);
    assert_memory_equal(answer.out.p + answer.out.len - text.len, text.p, text.len);
    peer_answer_fini(&answer);
    buf_fini(&text);
    line_fini(&line);
}

static void
test_a_short_answer_of_a_cgi_has_no_records(void **state)
{
    struct line line;
    struct buf text = {0};

    (void)state;
    line_init(&line, pipe_pair, 0);
    output_answer(&line.output, make_text(&text, 20000));
    assert_int_equal(line.released, 1);
    while (output_flush(&line.output) == OUTPUT_BLOCKED)
        line_read(&line, 999);
    line_read(&line, SIZE_MAX);
    assert_true(slice_equal(buf_slice(&line.got), buf_slice(&text)));
    buf_fini(&text);
    line_fini(&line);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_out_at_once_where_there_is_room),
        cmocka_unit_test(test_a_full_socket_keeps_only_the_rest_of_the_record_it_is_in),
        cmocka_unit_test(test_resumed_bytes_are_the_input_and_well_formed),
        cmocka_unit_test(test_on_a_socket_full_to_the_brim_nothing_is_begun),
        cmocka_unit_test(test_a_send_does_not_overtake_what_is_left_over),
        cmocka_unit_test(test_records_carry_the_request_id_of_the_peer),
        cmocka_unit_test(test_a_pipe_gets_the_bodies_alone),
        cmocka_unit_test(test_a_pipe_takes_more_records_than_one_writev_does),
        cmocka_unit_test(test_a_pipe_that_is_full_in_a_record_keeps_its_rest),
        cmocka_unit_test(test_a_gone_peer_is_an_error_of_every_call_and_no_signal),
        cmocka_unit_test(test_the_end_comes_behind_what_is_left_over),
        cmocka_unit_test(test_a_peer_that_never_reads_is_given_up_in_the_end),
        cmocka_unit_test(test_a_short_answer_comes_whole_and_is_ended),
        cmocka_unit_test(test_a_short_answer_waits_behind_what_is_left_over),
        cmocka_unit_test(test_a_short_answer_of_a_cgi_has_no_records),
    };

    signal(SIGPIPE, SIG_IGN); /* as serve/serve.c does; send(2) needs it not, a pipe does */
    return RUN(tests);
}
