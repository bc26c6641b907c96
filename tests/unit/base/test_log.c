/* test_log.c - lines of the log: one line each whatever is in them, cut cleanly, not too many. */
#include "config.h"

#include "base/log.h"
#include "base/log_sink.h"
#include "limits/refusal_log.h"

#include "../unit.h"

#include <fcntl.h>
#include <unistd.h>

#define TEST_NAME "log"

/* A log that goes into a pipe, and what came out of it. */
struct sink {
    struct log log;
    int fd;
    char text[65536];
};

static void
sink_open(struct sink *sink, enum log_level level)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    log_init(&sink->log, level);
    sink->log.journal = false;
    log_sink_out_init(&sink->log.out, fds[1]);
    sink->fd = fds[0];
    sink->text[0] = '\0';
}

static const char *
sink_read(struct sink *sink)
{
    ssize_t n = read(sink->fd, sink->text, sizeof sink->text - 1);

    sink->text[n < 0 ? 0 : n] = '\0';
    return sink->text;
}

static void
sink_close(struct sink *sink)
{
    close(sink->fd);
    close(sink->log.out.fd);
}

static size_t
count_of(const char *text, const char *what)
{
    size_t count = 0;

    while ((text = strstr(text, what)) != NULL) {
        count++;
        text += strlen(what);
    }
    return count;
}

#define SIGNATURE "0123456789012345678901234567890123456789abc"
#define TICKET "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ." SIGNATURE

/* --- quoting -------------------------------------------------------------------------- */

static void
test_values_are_quoted(void **state)
{
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        {NULL, "-"},
        {"", "\"\""},
        {"-", "-"},
        {"ann", "ann"},
        {"192.0.2.7", "192.0.2.7"},
        {"2001:db8::1", "2001:db8::1"},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {TICKET, "[ticket]"},
        {"a " TICKET " b", "\"a [ticket] b\""},
        {"/x/" TICKET, "/x/[ticket]"},
        {"x." TICKET "." TICKET, "x.[ticket].[ticket]"},
        {"ewogImFsZyI6IkhTMjU2In0.e30." SIGNATURE, "[ticket]"},
        /* No tickets, and hidden from nobody. */
        {"eyes.doc.left", "eyes.doc.left"},
        {"ey." SIGNATURE, "ey." SIGNATURE},
        {"they.doc." SIGNATURE, "they.doc." SIGNATURE},
        {"events.doc." SIGNATURE, "events.doc." SIGNATURE},
        {"a\nb", "\"a\\x0ab\""},
        {"\r\n", "\"\\x0d\\x0a\""},
        {"\x1b[31mred", "\"\\x1b[31mred\""},
        {"\x7f", "\"\\x7f\""},
        {"\xd0\xb0nn", "\"\\xd0\\xb0nn\""},      /* a Cyrillic a */
        {"\xe2\x80\xae", "\"\\xe2\\x80\\xae\""}, /* right-to-left override */
        {"\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\""}, /* line separator */
        {"\x9b", "\"\\x9b\""},                   /* a terminal's CSI in one byte */
        {"x user=root", "\"x user=root\""},
    };
    char out[128];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(log_quote(out, sizeof out, cases[i].text), cases[i].quoted);
}

/* What was quoted, taken back: fails on anything that log_quote may not write. */
static size_t
unquote(const char *quoted, char *out)
{
    size_t len = strlen(quoted);
    size_t n = 0;
    bool in_quotes = quoted[0] == '"';

    if (in_quotes) {
        assert_true(len >= 2 && quoted[len - 1] == '"');
        quoted++;
        len -= 2;
    }
    for (size_t i = 0; i < len; i++) {
        assert_in_range(quoted[i], in_quotes ? ' ' : '!', '~');
        assert_int_not_equal(quoted[i], '"');
        if (quoted[i] != '\\') {
            assert_true(in_quotes || quoted[i] != '=');
            out[n++] = quoted[i];
            continue;
        }
        if (in_quotes && i + 1 < len && strchr("\"\\", quoted[i + 1]) != NULL) {
            out[n++] = quoted[++i];
            continue;
        }
        char hex[3] = {0};
        assert_true(in_quotes && i + 3 < len && quoted[i + 1] == 'x');
        memcpy(hex, quoted + i + 2, 2);
        assert_int_equal(strspn(hex, "0123456789abcdef"), 2);
        out[n++] = (char)strtol(hex, NULL, 16);
        i += 3;
    }
    out[n] = '\0';
    return n;
}

/* Bytes at random, half of them of the kind that does harm. */
static void
random_text(char *text, size_t len)
{
    static const char harmful[] = "\n\r\t\x1b\"\\= ,\x7f\x80\xff\x01%s";

    for (size_t i = 0; i < len; i++) {
        size_t any = (size_t)random() % 255;
        bool harms = random() % 2 == 0;
        text[i] =
            harms ? harmful[any % (sizeof harmful - 1)] : (char)(unsigned char)(any + 1);
    }
    text[len] = '\0';
}

static void
test_any_bytes_stay_one_value(void **state)
{
    char text[201], back[201], room[132];

    (void)state;
    srandom(1);
    for (int turn = 0; turn < 200000; turn++) {
        size_t len = (size_t)random() % 200;
        size_t size = 8 + (size_t)random() % 120;
        random_text(text, len);
        memset(room, '#', sizeof room);
        log_quote(room + 1, size, text);
        assert_int_equal(room[0], '#');
        assert_int_equal(room[1 + size], '#');
        assert_true(strlen(room + 1) < size);
        size_t n = unquote(room + 1, back);
        assert_true(n <= len);
        assert_memory_equal(back, text, n);
        /* Cut only where the next one would not have found room. */
        assert_true(n == len || strlen(room + 1) + 4 >= size);
    }
}

static void
test_lists_are_quoted_and_cut_by_the_item(void **state)
{
    static const struct {
        const char *items[4];
        size_t size;
        const char *quoted;
        size_t more;
    } cases[] = {
        {{NULL}, 64, "\"\"", 0},
        {{"a"}, 64, "a", 0},
        {{"a", "b.*", "c"}, 64, "a,b.*,c", 0},
        {{"a,b", "c"}, 64, "\"a\\x2cb,c\"", 0},
        {{"a", "b c"}, 64, "\"a,b c\"", 0},
        {{"a", "b\nc"}, 64, "\"a,b\\x0ac\"", 0},
        {{"orders", "stock", "x"}, 9, "orders", 2},
        {{"orders", "stock", "x"}, 13, "orders,stock", 1},
        {{"orders", "stock", "x"}, 15, "orders,stock,x", 0},
        {{"much-too-long", "b"}, 9, "much-too", 2},
    };
    char out[64];
    size_t more;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct log_list list = {cases[i].items, 0};
        while (list.count < 4 && cases[i].items[list.count] != NULL)
            list.count++;
        log_quote_list(out, cases[i].size, list, &more);
        CHECK(strcmp(out, cases[i].quoted) == 0, "%s, not %s\n", out, cases[i].quoted);
        assert_int_equal(more, cases[i].more);
    }
}

static void
test_any_list_stays_one_value(void **state)
{
    char texts[8][41], back[1024], out[128];
    const char *items[8];
    size_t more;

    (void)state;
    srandom(2);
    for (int turn = 0; turn < 50000; turn++) {
        struct log_list list = {items, (size_t)random() % 9};
        size_t size = 8 + (size_t)random() % 120;
        for (size_t i = 0; i < list.count; i++) {
            random_text(texts[i], (size_t)random() % 40);
            items[i] = texts[i];
        }
        log_quote_list(out, size, list, &more);
        assert_true(strlen(out) < size);
        assert_true(more <= list.count);
        unquote(out, back);
    }
}

/* --- lines ---------------------------------------------------------------------------- */

static void
test_levels_are_kept(void **state)
{
    struct sink sink;

    (void)state;
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        sink_open(&sink, (enum log_level)level);
        for (int of = LOG_ERROR; of <= LOG_DEBUG; of++)
            log_line(&sink.log, (enum log_level)of, "line");
        assert_int_equal(count_of(sink_read(&sink), "\n"), level + 1);
        assert_int_equal(count_of(sink.text, "rowcast["), level + 1);
        sink_close(&sink);
    }
}

static void
test_a_journal_on_stderr_gets_priorities(void **state)
{
    struct sink sink;

    (void)state;
    sink_open(&sink, LOG_DEBUG);
    sink.log.journal = true;
    log_line(&sink.log, LOG_ERROR, "a");
    log_line(&sink.log, LOG_WARN, "b");
    log_line(&sink.log, LOG_INFO, "c");
    log_line(&sink.log, LOG_DEBUG, "d");
    assert_string_equal(sink_read(&sink), "<3>a\n<4>b\n<6>c\n<7>d\n");
    sink_close(&sink);
}

/* Whatever the length: one line, not longer than it may be, and no half of an escape. */
static void
test_long_lines_are_cut_between_escapes(void **state)
{
    static char long_text[2 * LOG_LINE_MAX];
    static char quoted[9 * LOG_LINE_MAX];

    (void)state;
    for (size_t len = LOG_LINE_MAX / 4 - 30; len < LOG_LINE_MAX / 4 + 10; len++) {
        struct sink sink;
        for (size_t lead = 0; lead < 4; lead++) {
            memset(long_text, 'x', lead);
            memset(long_text + lead, '\n', len);
            long_text[lead + len] = '\0';
            sink_open(&sink, LOG_INFO);
            log_line(&sink.log, LOG_INFO, "user=%s",
                     log_quote(quoted, sizeof quoted, long_text));
            const char *line = sink_read(&sink);
            size_t size = strlen(line);
            assert_true(size < LOG_LINE_MAX);
            assert_int_equal(count_of(line, "\n"), 1);
            assert_int_equal(line[size - 1], '\n');
            const char *value = strstr(line, "user=\"") + 6 + lead;
            size_t digits = strspn(value, "\\x0a");
            assert_int_equal(digits % 4, 0);
            bool was_cut = strcmp(value + digits, "...\n") == 0;
            assert_true(was_cut || strcmp(value + digits, "\"\n") == 0);
            assert_int_equal(was_cut, digits < 4 * len);
            sink_close(&sink);
        }
    }
}

static void
test_a_full_log_stops_no_writer(void **state)
{
    struct sink sink;
    struct log_loss loss = {0};

    (void)state;
    sink_open(&sink, LOG_INFO);
    sink.log.loss = &loss;
    for (int i = 0; i < 100000; i++)
        log_line(&sink.log, LOG_INFO, "line %d", i);
    size_t taken = 0;
    while (*sink_read(&sink) != '\0')
        taken += count_of(sink.text, "\n");
    assert_true(taken > 100);
    assert_int_equal(taken + loss.lines, 100000);
    /* Told once, by the next line that there is room for. */
    char told[80];
    log_line(&sink.log, LOG_INFO, "room again");
    log_line(&sink.log, LOG_INFO, "and again");
    snprintf(told, sizeof told, "warn: log lines lost=%zu\n", 100000 - taken);
    assert_non_null(strstr(sink_read(&sink), told));
    assert_int_equal(count_of(sink.text, "\n"), 3);
    close(sink.log.out.fd);
    log_line(&sink.log, LOG_INFO, "to nobody");
    sink.log.out.fd = dup(sink.fd);
    sink_close(&sink);
}

/* --- refusals ------------------------------------------------------------------------- */

static void
note(struct refusal_log *refusal_log, int status, const char *address, uint64_t now_ms)
{
    refusal_log_note(refusal_log,
                     &(struct refusal_note){status, "ann", address, "not \"here\""},
                     now_ms);
}

static void
test_refusals_are_logged_with_their_reason(void **state)
{
    struct sink sink;
    struct refusal_log refusal_log;

    (void)state;
    sink_open(&sink, LOG_INFO);
    assert_int_equal(refusal_log_init(&refusal_log, &sink.log, NULL), 0);
    note(&refusal_log, 403, "192.0.2.7", 1000);
    note(&refusal_log, 200, NULL, 1000);
    assert_non_null(strstr(sink_read(&sink),
                           "info: refused status=403 user=ann address=192.0.2.7 why=\"not "
                           "\\\"here\\\"\"\n"));
    assert_non_null(strstr(sink.text, "warn: refused status=200 user=ann address=- "));
    refusal_log_fini(&refusal_log);
    assert_string_equal(sink_read(&sink), "");
    sink_close(&sink);
}

static void
test_one_who_is_refused_often_does_not_fill_the_log(void **state)
{
    struct sink sink;
    struct refusal_log refusal_log;

    (void)state;
    sink_open(&sink, LOG_INFO);
    assert_int_equal(refusal_log_init(&refusal_log, &sink.log, NULL), 0);
    /* One a second, whatever the status ... */
    for (int i = 0; i < 10000; i++)
        note(&refusal_log, i % 2 == 0 ? 400 : 403, "192.0.2.7", 1000);
    assert_int_equal(count_of(sink_read(&sink), "\n"), 1);
    note(&refusal_log, 400, "192.0.2.8", 1000);
    assert_non_null(strstr(sink_read(&sink), " suppressed=9999\n"));
    note(&refusal_log, 403, "192.0.2.7", 2000);
    assert_null(strstr(sink_read(&sink), "suppressed"));
    /* ... and some a minute of each status. */
    for (uint64_t now_ms = 3000; now_ms < 11000; now_ms++)
        note(&refusal_log, 400, "192.0.2.7", now_ms);
    assert_int_equal(count_of(sink_read(&sink), "\n"), REFUSAL_LOG_EACH - 1);
    note(&refusal_log, 403, "192.0.2.7", 11000);
    assert_non_null(strstr(sink_read(&sink), " suppressed=4999\n"));
    note(&refusal_log, 400, "192.0.2.7", 11000);
    refusal_log_fini(&refusal_log);
    assert_non_null(strstr(sink_read(&sink), "refused suppressed=1\n"));
    sink_close(&sink);
}

static void
test_neither_do_many_addresses(void **state)
{
    struct sink sink;
    struct refusal_log refusal_log;
    char address[32];

    (void)state;
    sink_open(&sink, LOG_INFO);
    assert_int_equal(refusal_log_init(&refusal_log, &sink.log, NULL), 0);
    for (int i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        note(&refusal_log, 400, address, 1000);
    }
    assert_int_equal(count_of(sink_read(&sink), "\n"), REFUSAL_LOG_ALL);
    sink_close(&sink);
}

static void
test_polls_share_the_line_a_second_with_refusals(void **state)
{
    struct sink sink;
    struct refusal_log refusal_log;
    char more[REFUSALS_SUPPRESSED_MAX];
    char address[32];
    int admitted = 0;

    (void)state;
    sink_open(&sink, LOG_INFO);
    assert_int_equal(refusal_log_init(&refusal_log, &sink.log, NULL), 0);
    assert_true(refusal_log_admit_poll(&refusal_log, "192.0.2.7", 1000));
    assert_false(refusal_log_admit_poll(&refusal_log, "192.0.2.7", 1999));
    note(&refusal_log, 400, "192.0.2.7", 1999);
    assert_string_equal(sink_read(&sink), "");
    assert_true(refusal_log_admit_poll(&refusal_log, "192.0.2.7", 2000));
    assert_string_equal(refusal_log_take_suppressed(&refusal_log, more), " suppressed=2");
    assert_string_equal(refusal_log_take_suppressed(&refusal_log, more), "");
    for (int i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        admitted += refusal_log_admit_poll(&refusal_log, address, 3000);
    }
    assert_in_range(admitted, POLLS_ALL - 10, POLLS_ALL);
    sink_close(&sink);
}

static void
test_streams_of_one_address_fill_the_log_slowly(void **state)
{
    struct sink sink;
    struct refusal_log refusal_log;
    int admitted = 0;

    (void)state;
    sink_open(&sink, LOG_INFO);
    assert_int_equal(refusal_log_init(&refusal_log, &sink.log, NULL), 0);
    for (int i = 0; i < 10000; i++)
        admitted += refusal_log_admit_stream(&refusal_log, "192.0.2.7", 1000);
    assert_int_equal(admitted, STREAMS_AT_ONCE);
    assert_true(refusal_log_admit_stream(&refusal_log, "192.0.2.8", 1000));
    for (uint64_t now_ms = 1000; now_ms < 11000; now_ms++)
        admitted += refusal_log_admit_stream(&refusal_log, "192.0.2.7", now_ms);
    assert_in_range(admitted, STREAMS_AT_ONCE + 10 * STREAMS_A_SECOND - 1,
                    STREAMS_AT_ONCE + 10 * STREAMS_A_SECOND);
    sink_close(&sink);
}

/* What the level hides is not counted as left out either. */
static void
test_a_level_that_hides_them_hides_their_count(void **state)
{
    struct sink sink;
    struct refusal_log refusal_log;

    (void)state;
    sink_open(&sink, LOG_WARN);
    assert_int_equal(refusal_log_init(&refusal_log, &sink.log, NULL), 0);
    for (int i = 0; i < 100; i++)
        note(&refusal_log, 400, "192.0.2.7", 1000);
    refusal_log_fini(&refusal_log);
    assert_string_equal(sink_read(&sink), "");
    note(&refusal_log, 500, "192.0.2.7", 1000);
    assert_int_equal(count_of(sink_read(&sink), "\n"), 1);
    sink_close(&sink);
}

/* The line's fields as KEY[value]KEY[value]. */
static void
check_fields(const char *line, const char *expected)
{
    struct log_sink_field fields[LOG_SINK_FIELDS_MAX];
    char text[2048] = "";
    size_t len = 0;
    size_t count = log_sink_fields(line, fields);

    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s[%.*s]",
                                (int)fields[i].key_len, fields[i].key,
                                (int)fields[i].value_len, fields[i].value);
    CHECK(strcmp(text, expected) == 0, "%s: %s, not %s\n", line, text, expected);
}

static void
test_fields_of_a_line(void **state)
{
    (void)state;
    check_fields("open stream=1 user=alice", "stream[1]user[alice]");
    check_fields("close stream=1 user=\"ann lee\" why=gone",
                 "stream[1]user[ann lee]why[gone]");
    check_fields("open user=\"\" channels=- more=0", "user[]channels[-]more[0]");
    check_fields("publish failed user=\"x\\\" why=\" rows=3 why=\"a b=c\"",
                 "user[x\\\" why=]rows[3]why[a b=c]");
    check_fields("open user=\"x\\\\\" why=gone", "user[x\\\\]why[gone]");
    check_fields("refused suppressed=3", "suppressed[3]");
    /* Prose, in which somebody may have written anything. */
    check_fields("SIGTERM: draining 3 streams", "");
    check_fields("cannot delete old rows: user=alice", "");
    check_fields("worker 1: user=alice", "");
    check_fields("/a/path user=alice", "");
    check_fields("open user=a: said user=root", "user[a:]");
    check_fields("open user=a  user=root", "user[a]");
    check_fields("open user=a 7=b user=root", "user[a]");
    check_fields("", "");
    check_fields("open", "");
    check_fields("open ", "");
    check_fields("=", "");
    check_fields("a=", "a[]");
    /* Cut, within quotes too. */
    check_fields("open user=\"ann l...", "user[ann l...]");
    check_fields(
        "a=1 a=2 a=3 a=4 a=5 a=6 a=7 a=8 a=9 a=10 a=11 a=12 a=13 a=14 a=15 a=16 a=17",
        "a[1]a[2]a[3]a[4]a[5]a[6]a[7]a[8]a[9]a[10]a[11]a[12]a[13]a[14]a[15]a[16]");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_quoted),
        cmocka_unit_test(test_any_bytes_stay_one_value),
        cmocka_unit_test(test_lists_are_quoted_and_cut_by_the_item),
        cmocka_unit_test(test_any_list_stays_one_value),
        cmocka_unit_test(test_levels_are_kept),
        cmocka_unit_test(test_a_journal_on_stderr_gets_priorities),
        cmocka_unit_test(test_long_lines_are_cut_between_escapes),
        cmocka_unit_test(test_a_full_log_stops_no_writer),
        cmocka_unit_test(test_refusals_are_logged_with_their_reason),
        cmocka_unit_test(test_one_who_is_refused_often_does_not_fill_the_log),
        cmocka_unit_test(test_neither_do_many_addresses),
        cmocka_unit_test(test_polls_share_the_line_a_second_with_refusals),
        cmocka_unit_test(test_streams_of_one_address_fill_the_log_slowly),
        cmocka_unit_test(test_a_level_that_hides_them_hides_their_count),
        cmocka_unit_test(test_fields_of_a_line),
    };

    return RUN(tests);
}
