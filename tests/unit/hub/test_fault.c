/* test_fault.c - each allocation in turn fails, while streams open, rows come and readers lag.
 * The program neither crashes nor leaks, nor sends anything malformed; a stream may be dropped
 * or refused, but one that lives on misses nothing. */
#include "config.h"

#include "../fault.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include "../../fuzz/hs256.h"
#include "../ticket_samples.h"
#include "access/ticket.h"
#include "fastcgi/libfcgi.h"
#include "fastcgi/parser.h"
#include "publish/rows.h"
#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "fault"

#define TINY 4096
#define LONG_DATA 30000
#define NTH_MAX 5000 /* more allocations than that no scenario has */

static void
on_program(bool begins)
{
    if (begins)
        fault_resume();
    else
        fault_pause();
}

/* --- the scenario --------------------------------------------------------------------- */

enum { SLOW, LAST, THROTTLED, NDJSON, LIVE, POLL, LONG_POLL, VISITS };

static const struct visit visits[VISITS] = {
    [SLOW] = {.query = "since=all",
              .send_bytes = TINY,
              .idle = true,
              .address = "192.0.2.1",
              .request_id = 7},
    [LAST] = {.query = "channel=%5Ba%5D&channel=b&last=4", .user = "anna"},
    [THROTTLED] = {.query = "since=all&throttle=1"},
    [NDJSON] = {.query = "since=all", .accept = "application/x-ndjson", .user = "bob"},
    [LIVE] = {.query = "channel=a&ping=1"},
    [POLL] = {.query = "since=all", .accept = "application/json"},
    [LONG_POLL] = {.query = "channel=c&wait=60", .accept = "application/json"},
};

static bool
is_document(size_t visit)
{
    return visit == POLL || visit == LONG_POLL;
}

static void
insert_rows(struct stage *stage, int from, int to)
{
    for (int i = from; i <= to; i++)
        stage_sql(stage,
                  "INSERT INTO notification(channel, recipient, collapse_key, data)"
                  " VALUES (%Q, %Q, %Q, '%d ' || substr(printf('%%.*c', %d, 'x'), 1, %d))",
                  i % 3 ? "a" : "b", i % 4 ? NULL : "anna", i % 5 ? NULL : "k", i,
                  i % 7 ? 20 : LONG_DATA, i % 7 ? 20 : LONG_DATA);
}

/* Some turns, with as much time between them as a commit needs to be seen. */
static void
run(struct stage *stage)
{
    for (int i = 0; i < 30; i++) {
        stage_step(stage);
        usleep(50);
        for (size_t k = 0; k < stage->reader_count; k++)
            if (!stage->readers[k]->idle)
                reader_read(stage->readers[k]);
    }
}

static void
play(struct stage *stage, struct reader **readers)
{
    for (size_t i = 0; i < VISITS; i++)
        readers[i] = stage_visit(stage, &visits[i]);
    run(stage);
    stage_sql(stage, "BEGIN");
    insert_rows(stage, 21, 30);
    stage_sql(stage, "COMMIT");
    run(stage);
    readers[SLOW]->idle = false;
    insert_rows(stage, 31, 32);
    run(stage);
    stage_sql(stage, "BEGIN; INSERT INTO notification(data) VALUES ('lost');"
                     " DELETE FROM notification WHERE data = 'lost'; COMMIT");
    run(stage);
}

/* --- what must hold ------------------------------------------------------------------- */

static bool
is_open(const struct reader *reader)
{
    return !reader->dropped && !reader->released;
}

/* Ids of rows only grow, whatever became of the stream; reader_rows sees to the framing. */
static void
check_order(struct reader *reader)
{
    int64_t last = 0;

    reader_rows(reader);
    for (size_t i = 0; i < reader->event_count; i++) {
        const struct told *told = &reader->events[i];
        if (strncmp(told->type, "rowcast:", 8) == 0)
            continue;
        assert_true(told->id > last);
        last = told->id;
    }
}

/* Whatever was answered in full is a whole answer. */
static void
check_answer(struct reader *reader, size_t visit)
{
    if (!reader_has_ended(reader))
        return;
    CHECK(reader->headers.p != NULL, "visit %zu: an answer without headers: [%.*s]\n",
          visit, (int)reader->answer.out.len, reader->answer.out.p);
    if (!is_document(visit) || reader->refused != 0)
        return;
    json_t *document = json_loadb(reader->body.p, reader->body.len, 0, NULL);
    CHECK(json_is_object(document), "visit %zu: [%.*s]\n", visit, (int)reader->body.len,
          reader->body.p);
    json_decref(document);
}

/* The rows of `all` are among those of the reader, but for those before a gap that it was told. */
static void
check_complete(struct reader *reader, struct reader *all)
{
    int64_t gap = 0;
    size_t k = 0;

    reader_rows(reader);
    for (size_t i = 0; i < reader->event_count; i++)
        if (strcmp(reader->events[i].type, "rowcast:gap") == 0)
            gap = reader->events[i].id;
    for (size_t i = 0; i < all->event_count; i++) {
        const struct told *told = &all->events[i];
        if (strcmp(told->type, "message") != 0 || told->id <= gap)
            continue;
        while (k < reader->event_count && reader->events[k].id != told->id)
            k++;
        CHECK(k < reader->event_count, "row %lld is missing\n", (long long)told->id);
    }
}

static void
check_survivors(struct stage *stage, struct reader **readers)
{
    insert_rows(stage, 34, 34);
    stage_insert(stage, "c", "the end");
    struct reader *fresh = stage_visit(stage, &(struct visit){.query = "since=all"});
    WAIT(stage, reader_has_row(fresh, "the end"));
    for (size_t i = 0; i < VISITS; i++) {
        const char *last = i == LIVE || i == LAST ? "34 xx" : "the end";
        if (is_document(i))
            WAIT(stage, readers[i]->at_end);
        else
            WAIT(stage, !is_open(readers[i]) || reader_has_text(readers[i], last));
        check_order(readers[i]);
        check_answer(readers[i], i);
        if (is_open(readers[i]) && (i == SLOW || i == THROTTLED))
            check_complete(readers[i], fresh);
    }
}

/* Returns the number of allocations. */
static unsigned long
play_with_fault(unsigned long nth, unsigned long more)
{
    struct stage stage;
    struct reader *readers[VISITS];

    struct limits *limits;
    const struct limits_config config = {.per_user = 10, .per_address = 10, .workers = 1};
    assert_int_equal(limits_new(&limits, &config, NULL), 0);
    stage_open(&stage,
               &(struct stage_config){.hub = {.window_bytes = 60000, .limits = limits}});
    insert_rows(&stage, 1, 20);
    stage.on_program = on_program;
    fault_arm(nth, more);
    play(&stage, readers);
    stage.on_program = NULL;
    unsigned long count = fault_disarm();
    check_survivors(&stage, readers);
    stage_close(&stage);
    limits_free(limits);
    return count;
}

static void
test_whichever_allocation_fails_nothing_malformed_is_sent(void **state)
{
    unsigned long nth = 0;

    (void)state;
    do
        assert_true(++nth < NTH_MAX);
    while (play_with_fault(nth, 0) >= nth);
    assert_true(nth > 50);
    assert_true(fault_leaks_nothing());
}

static void
test_a_shortage_that_lasts_a_while_does_no_harm_either(void **state)
{
    unsigned long nth = 1;

    (void)state;
    for (; play_with_fault(nth, 9) >= nth; nth += 5)
        assert_true(nth < NTH_MAX);
    assert_true(fault_leaks_nothing());
}

/* --- requests ------------------------------------------------------------------------- */

/* Begin, params "A=1", end of params, end of stdin; then a query for values. */
static const char request[] = "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0"
                              "\1\4\0\1\0\4\0\0\1\1A1"
                              "\1\4\0\1\0\0\0\0"
                              "\1\5\0\1\0\0\0\0"
                              "\1\11\0\0\0\21\0\0\17\0FCGI_MPXS_CONNS";

/* Feeds it; true when all of it was understood. */
static bool
read_request(struct libfcgi *fcgi)
{
    struct fcgi_parser parser = {0};
    const char *p = request;
    size_t len = sizeof request - 1;
    bool understood = false;

    enum fcgi_parser_event event = fcgi_parser_feed(&parser, &p, &len, 10);
    if (event == FCGI_PARSER_REQUEST) {
        const char *const *envp = libfcgi_params(fcgi, fcgi_parser_params(&parser));
        fcgi_parser_set_busy(&parser);
        event = fcgi_parser_feed(&parser, &p, &len, 10);
        understood = envp != NULL && event == FCGI_PARSER_REPLY;
    }
    fault_pause();
    if (event == FCGI_PARSER_MALFORMED)
        assert_string_equal(parser.fault, "out of memory");
    else
        assert_true(event == FCGI_PARSER_REPLY);
    fcgi_parser_fini(&parser);
    return understood;
}

static void
test_a_request_without_memory_is_given_up(void **state)
{
    struct error error = {""};
    unsigned long nth = 0;
    unsigned long count;

    (void)state;
    do {
        fault_arm(++nth, 0);
        fault_resume();
        struct libfcgi *fcgi = libfcgi_new(&error);
        bool understood = fcgi != NULL && read_request(fcgi);
        count = fault_disarm();
        assert_true(understood || count >= nth);
        if (fcgi != NULL)
            assert_true(read_request(fcgi)); /* and the next one is none the worse */
        libfcgi_free(fcgi);
    } while (count >= nth);
    assert_true(nth > 5);
    assert_true(fault_leaks_nothing());
}

/* True when the rows are there; without memory it is said so. */
static bool
parse_bodies(void)
{
    static const char form[] = "data=x&channel=orders&to=bob";
    static const char json[] =
        "[{\"data\":{\"a\":[1,2]}},{\"data\":\"y\"},{\"data\":\"z\"}]";
    bool good = true;

    for (int type = PUBLISH_FORM; type <= PUBLISH_JSON; type++) {
        struct publish_rows rows;
        struct error error = {""};
        publish_rows_init(&rows, 0);
        int status =
            publish_rows_parse(&rows, (enum publish_type)type,
                               slice_of(type == PUBLISH_FORM ? form : json), &error);
        fault_pause();
        assert_true(status == 0 || status == 503);
        assert_string_equal(error.text, status == 0 ? "" : "out of memory");
        fault_resume();
        good = good && status == 0;
        publish_rows_fini(&rows);
    }
    return good;
}

static void
test_a_body_without_memory_is_refused(void **state)
{
    unsigned long nth = 0;
    unsigned long count;

    (void)state;
    do {
        fault_arm(++nth, 0);
        fault_resume();
        bool good = parse_bodies();
        count = fault_disarm();
        assert_int_equal(good, count < nth);
    } while (count >= nth);
    assert_true(nth > 5);
    assert_true(fault_leaks_nothing());
}

/* --- tickets -------------------------------------------------------------------------- */

/* A good ticket is good or not known, a bad one bad or not known: without memory nobody is told
 * that his ticket is bad, which would send him to a login. Returns the status. */
static int
verify(const struct ticket_keys *keys, const char *text)
{
    const struct ticket_rules rules = {keys, NULL, 1800000000000};
    struct ticket ticket;
    struct error error = {""};
    int status = ticket_verify(&rules, slice_of(text), &ticket, &error);
    ticket_fini(&ticket);
    fault_pause();
    assert_string_equal(status == 503 ? error.text : "out of memory", "out of memory");
    return status;
}

static void
check_ticket(const struct ticket_keys *keys, const char *text, int wanted)
{
    unsigned long nth = 0;
    unsigned long count;
    int status;

    do {
        fault_arm(++nth, 0);
        fault_resume();
        status = verify(keys, text);
        count = fault_disarm();
        CHECK(status == wanted || (status == 503 && count >= nth),
              "allocation %lu: status %d, not %d\n", nth, status, wanted);
    } while (count >= nth);
    assert_int_equal(status, wanted);
    assert_true(nth > 5);
}

static void
test_a_ticket_without_memory_is_not_called_bad(void **state)
{
    static const char *const files[] = {RSA_PUBLIC, EC_PUBLIC};
    static const char *const tokens[] = {RSA_TOKEN, EC_TOKEN};
    struct error error;

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        char *bad = strdup(tokens[i]);
        size_t at = strlen(bad) - 20;
        struct ticket_keys *keys =
            ticket_keys_parse(slice_of(files[i]), "keys", TICKET_VERIFIES, NULL, &error);
        assert_non_null(keys);
        bad[at] = bad[at] == 'A' ? 'B' : 'A';
        check_ticket(keys, tokens[i], 0);
        check_ticket(keys, bad, 401);
        ticket_keys_free(keys);
        free(bad);
    }
}

static void
test_a_ticket_with_a_secret_and_without_memory_is_not_called_bad(void **state)
{
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    struct error error;
    struct ticket_keys *keys =
        ticket_keys_parse(slice_of(secret), "keys", TICKET_VERIFIES, NULL, &error);
    struct slice header = slice_of("{\"alg\":\"HS256\"}");
    struct slice claims = slice_of("{\"sub\":\"ann\",\"channels\":[\"a\",\"b*\"]}");
    char *good = hs256_token(header, claims, secret);
    char *bad = hs256_token(header, claims, "another");

    (void)state;
    assert_non_null(keys);
    check_ticket(keys, good, 0);
    check_ticket(keys, bad, 401);
    free(good);
    free(bad);
    ticket_keys_free(keys);
}

/* --- the start ------------------------------------------------------------------------ */

/* As stage_start_hub, which would not let anything fail. True when it came up. */
static bool
start(struct stage *stage, struct feed **feed, struct hub **hub)
{
    struct hub_counters counters = {0};
    struct store_config store = {.path = stage->path, .max_event_bytes = 1000};
    struct hub_config config = {.retry_ms = 1000,
                                .max_streams = 10,
                                .max_here = 10,
                                .window_bytes = 100000,
                                .max_event_bytes = 1000,
                                .counters = &counters,
                                .workers = 1};
    struct error error = {""};

    *feed = feed_new(&stage->loop, &store, &stage->log, &error);
    if (*feed != NULL)
        *hub = hub_new(&stage->loop, *feed, &config, &stage->log, &error);
    bool up = *hub != NULL && feed_start(*feed, hub_feed_handlers(), *hub, &error) == 0;
    fault_pause();
    assert_true(up || error.text[0] != '\0'); /* it says why */
    hub_free(*hub);
    feed_free(*feed);
    stage_step(stage);
    return up;
}

static void
test_a_start_without_memory_fails_with_a_word(void **state)
{
    struct stage stage;
    unsigned long count = 0;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert_rows(&stage, 1, 30);
    for (unsigned long nth = 1; nth == 1 || count >= nth - 1; nth++) {
        struct feed *feed = NULL;
        struct hub *hub = NULL;
        fault_arm(nth, 0);
        fault_resume();
        start(&stage, &feed, &hub);
        count = fault_disarm();
        assert_true(nth < NTH_MAX);
    }
    assert_true(count > 5);
    stage_close(&stage);
    assert_true(fault_leaks_nothing());
}

/* The libraries' allocations may fail, too. */
static void *
library_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return malloc(size);
}

static void *
library_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return realloc(p, size);
}

static void
library_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_without_memory_is_refused),
        cmocka_unit_test(test_a_request_without_memory_is_given_up),
        cmocka_unit_test(test_a_ticket_without_memory_is_not_called_bad),
        cmocka_unit_test(test_a_ticket_with_a_secret_and_without_memory_is_not_called_bad),
        cmocka_unit_test(test_a_start_without_memory_fails_with_a_word),
        cmocka_unit_test(test_whichever_allocation_fails_nothing_malformed_is_sent),
        cmocka_unit_test(test_a_shortage_that_lasts_a_while_does_no_harm_either),
    };

    json_set_alloc_funcs(malloc, free);
    assert_int_equal(
        CRYPTO_set_mem_functions(library_malloc, library_realloc, library_free), 1);
    return RUN(tests);
}
