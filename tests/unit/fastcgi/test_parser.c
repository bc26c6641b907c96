/* test_parser.c - FastCGI conversations in, cut in every way that a network may cut them.
 *
 * Each conversation is fed whole, byte by byte and at every split point; what comes of it is
 * written down as a protocol of lines, which must be the same each time. */
#include "config.h"

#include "fastcgi/parser.h"

#include "../unit.h"

#define TEST_NAME "intake"

#define MAX_CONNS 77
#define SPLITS_MAX 3000 /* longer conversations are split at so many points */

/* The specification's section 8, not a header that src/ uses too. */
enum {
    BEGIN = 1,
    ABORT = 2,
    END = 3,
    PARAMS = 4,
    STDIN = 5,
    STDOUT = 6,
    DATA = 8,
    GET_VALUES = 9,
    GET_VALUES_RESULT = 10,
    UNKNOWN_TYPE = 11
};
enum { RESPONDER = 1, AUTHORIZER = 2, FILTER = 3 };
enum { CLOSE = 0, KEEP = 1 };

/* --- what a web server writes --------------------------------------------------------- */

static void
put_header(struct buf *to, int type, unsigned id, size_t len, size_t pad)
{
    unsigned char header[8] = {1,
                               (unsigned char)type,
                               (unsigned char)(id >> 8),
                               (unsigned char)id,
                               (unsigned char)(len >> 8),
                               (unsigned char)len,
                               (unsigned char)pad,
                               0xee}; /* reserved: anything */
    buf_append(to, header, sizeof header);
}

static void
put_padded(struct buf *to, int type, unsigned id, struct slice body, size_t pad)
{
    static const char padding[255] = "padding that nobody may look at";

    put_header(to, type, id, body.len, pad);
    buf_append(to, body.p, body.len);
    buf_append(to, padding, pad);
}

static void
put(struct buf *to, int type, unsigned id, const char *body)
{
    put_padded(to, type, id, slice_of(body), 0);
}

static void
put_begin(struct buf *to, unsigned id, unsigned role, unsigned flags)
{
    char body[8] = {(char)(role >> 8), (char)role, (char)flags, 1, 2, 3, 4, 5};

    put_padded(to, BEGIN, id, (struct slice){body, sizeof body}, 0);
}

static void
put_len(struct buf *to, size_t len, bool wide)
{
    unsigned char bytes[4] = {(unsigned char)(0x80 | len >> 24), (unsigned char)(len >> 16),
                              (unsigned char)(len >> 8), (unsigned char)len};

    if (wide || len > 127)
        buf_append(to, bytes, 4);
    else
        buf_append(to, bytes + 3, 1);
}

static void
put_pair(struct buf *to, const char *name, const char *value)
{
    put_len(to, strlen(name), false);
    put_len(to, strlen(value), false);
    buf_append_text(to, name);
    buf_append_text(to, value);
}

static void
put_params(struct buf *to, unsigned id, const char *name, const char *value)
{
    struct buf pairs = {0};

    put_pair(&pairs, name, value);
    put_padded(to, PARAMS, id, buf_slice(&pairs), 0);
    buf_fini(&pairs);
}

static void
put_request(struct buf *to, unsigned id, unsigned flags, const char *value)
{
    put_begin(to, id, RESPONDER, flags);
    put_params(to, id, "Q", value);
    put(to, PARAMS, id, "");
    put(to, STDIN, id, "");
}

/* --- the protocol of what comes of it ------------------------------------------------- */

/* Not fastcgi/parser.c's own reader of lengths. */
static size_t
get_len(const unsigned char **p)
{
    size_t len = *(*p)++;

    if (len > 127) {
        len = (len & 0x7f) << 24 | (size_t)(*p)[0] << 16 | (size_t)(*p)[1] << 8 | (*p)[2];
        *p += 3;
    }
    return len;
}

static void
note_pairs(struct buf *notes, struct slice pairs)
{
    const unsigned char *p = (const unsigned char *)pairs.p;
    const unsigned char *end = p + pairs.len;

    while (p < end) {
        size_t name = get_len(&p);
        size_t value = get_len(&p);
        assert_true(name + value <= (size_t)(end - p));
        buf_printf(notes, " %.*s=", (int)name, (const char *)p);
        if (value > 40)
            buf_printf(notes, "(%zu)", value);
        else
            buf_append(notes, p + name, value);
        p += name + value;
    }
}

static void
note_reply(struct buf *notes, struct slice reply, bool close_after)
{
    const unsigned char *p = (const unsigned char *)reply.p;

    assert_in_range(reply.len, 8, FCGI_PARSER_REPLY_MAX);
    size_t body = (size_t)p[4] << 8 | p[5];
    unsigned id = (unsigned)p[2] << 8 | p[3];
    assert_int_equal(p[0], 1);
    assert_int_equal(reply.len, 8 + body + p[6]);
    switch (p[1]) {
    case END:
        assert_int_equal(body, 8);
        assert_int_equal(p[8] | p[9] | p[10] | p[11], 0);
        buf_printf(notes, "end %u status %d", id, p[12]);
        break;
    case GET_VALUES_RESULT:
        assert_int_equal(id, 0);
        buf_append_text(notes, "values");
        note_pairs(notes, (struct slice){reply.p + 8, body});
        break;
    case UNKNOWN_TYPE:
        assert_int_equal(id, 0);
        assert_int_equal(body, 8);
        buf_printf(notes, "unknown %d", p[8]);
        break;
    default:
        fail_msg("reply of type %d", p[1]);
    }
    buf_append_text(notes, close_after ? ", close\n" : "\n");
}

/* When the test's web server gets its answer. */
enum answers { NEVER, AT_ONCE };

/* Feeds one piece, acts as the gateway does. False after a malformed record. */
static bool
feed_piece(struct fcgi_parser *parser, struct slice piece, enum answers answers,
           struct buf *notes)
{
    for (;;) {
        size_t before = piece.len;
        const char *from = piece.p;
        enum fcgi_parser_event event =
            fcgi_parser_feed(parser, &piece.p, &piece.len, MAX_CONNS);
        assert_int_equal(piece.p - from, before - piece.len); /* both are moved on alike */
        assert_true(piece.len <= before);
        switch (event) {
        case FCGI_PARSER_MORE:
            assert_int_equal(piece.len, 0);
            return true;
        case FCGI_PARSER_REQUEST:
            assert_true(piece.len < before);
            buf_printf(notes, "request %u%s", parser->request_id,
                       parser->keep_conn ? " keep" : "");
            note_pairs(notes, fcgi_parser_params(parser));
            buf_append_text(notes, "\n");
            fcgi_parser_set_busy(parser);
            if (answers == AT_ONCE)
                fcgi_parser_set_idle(parser);
            break;
        case FCGI_PARSER_ABORT:
            buf_append_text(notes, "abort\n");
            break;
        case FCGI_PARSER_REPLY:
            assert_true(piece.len < before);
            note_reply(notes, fcgi_parser_reply(parser), parser->close_after);
            break;
        case FCGI_PARSER_MALFORMED:
            buf_printf(notes, "malformed: %s\n", parser->fault);
            return false;
        }
    }
}

static void
check_pieces(struct slice input, const size_t *ends, size_t count, enum answers answers,
             const char *expected)
{
    struct fcgi_parser parser = {0};
    struct buf notes = {0};
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        /* Memory of its own, so that a read beyond the piece is seen. */
        size_t len = ends[i] - at;
        char *copy = malloc(len + (len == 0));
        memcpy(copy, input.p + at, len);
        bool goes_on = feed_piece(&parser, (struct slice){copy, len}, answers, &notes);
        free(copy);
        if (!goes_on)
            break;
        at = ends[i];
    }
    buf_append(&notes, "", 1);
    CHECK(strcmp(notes.p, expected) == 0, "first piece of %zu:\n[%s]\nnot\n[%s]\n",
          count > 0 ? ends[0] : 0, notes.p, expected);
    buf_fini(&notes);
    fcgi_parser_fini(&parser);
}

/* Whole, byte by byte, and cut in two at every point (or at many). */
static void
check(struct buf *input, enum answers answers, const char *expected)
{
    struct slice bytes = buf_slice(input);
    size_t *ends = calloc(bytes.len + 1, sizeof *ends);
    size_t step = bytes.len / SPLITS_MAX + 1;

    assert_false(input->failed);
    check_pieces(bytes, &bytes.len, 1, answers, expected);
    for (size_t i = 0; i < bytes.len; i++)
        ends[i] = i + 1;
    check_pieces(bytes, ends, bytes.len, answers, expected);
    for (size_t cut = 0; cut <= bytes.len; cut += step) {
        size_t two[2] = {cut, bytes.len};
        check_pieces(bytes, two, 2, answers, expected);
    }
    free(ends);
    buf_fini(input);
}

/* --- conversations -------------------------------------------------------------------- */

static void
test_a_request_arrives_however_it_is_cut(void **state)
{
    struct buf in = {0};

    (void)state;
    put_request(&in, 1, CLOSE, "a=b");
    check(&in, NEVER, "request 1 Q=a=b\n");
    put_request(&in, 0xfffe, KEEP, "");
    check(&in, NEVER, "request 65534 keep Q=\n");
}

static void
test_padding_is_passed_over(void **state)
{
    struct buf in = {0};
    struct buf pairs = {0};

    (void)state;
    put_begin(&in, 1, RESPONDER, CLOSE);
    put_pair(&pairs, "NAME", "value");
    put_padded(&in, PARAMS, 1, buf_slice(&pairs), 3);
    put_padded(&in, PARAMS, 1, slice_of(""), 255);
    put_padded(&in, STDIN, 1, slice_of(""), 8);
    check(&in, NEVER, "request 1 NAME=value\n");
    buf_fini(&pairs);
}

static void
test_params_may_be_cut_into_records_anywhere(void **state)
{
    struct buf pairs = {0};

    (void)state;
    put_pair(&pairs, "FIRST", "1");
    put_len(&pairs, 6, true); /* four bytes are allowed for a small length too */
    put_len(&pairs, 3, true);
    buf_append_text(&pairs, "SECOND+++");
    for (size_t cut = 1; cut < pairs.len; cut++) {
        struct buf in = {0};
        put_begin(&in, 1, RESPONDER, CLOSE);
        put_padded(&in, PARAMS, 1, (struct slice){pairs.p, cut}, 0);
        put_padded(&in, PARAMS, 1, (struct slice){pairs.p + cut, pairs.len - cut}, 5);
        put(&in, PARAMS, 1, "");
        put(&in, STDIN, 1, "");
        check(&in, NEVER, "request 1 FIRST=1 SECOND=+++\n");
    }
    buf_fini(&pairs);
}

static void
test_a_request_may_have_no_params(void **state)
{
    struct buf in = {0};

    (void)state;
    put_begin(&in, 1, RESPONDER, CLOSE);
    put(&in, PARAMS, 1, "");
    put(&in, STDIN, 1, "");
    check(&in, NEVER, "request 1\n");
}

static void
test_a_body_on_stdin_is_skipped(void **state)
{
    struct buf in = {0};
    struct buf body = {0};

    (void)state;
    buf_reserve(&body, 60000);
    body.len = 60000;
    memset(body.p, 1, body.len); /* looks like FastCGI versions */
    put_begin(&in, 1, RESPONDER, CLOSE);
    put_params(&in, 1, "REQUEST_METHOD", "POST");
    put(&in, PARAMS, 1, "");
    put_padded(&in, STDIN, 1, buf_slice(&body), 0);
    put(&in, STDIN, 1, "more");
    put(&in, DATA, 1, "no such role, but harmless");
    put(&in, STDIN, 1, "");
    check(&in, NEVER, "request 1 REQUEST_METHOD=POST\n");
    buf_fini(&body);
}

static void
test_kept_connections_carry_request_after_request(void **state)
{
    struct buf in = {0};

    (void)state;
    put_request(&in, 1, KEEP, "one");
    put_request(&in, 1, KEEP, "two");
    put_request(&in, 2, CLOSE, "three");
    check(&in, AT_ONCE, "request 1 keep Q=one\nrequest 1 keep Q=two\nrequest 2 Q=three\n");
}

static void
test_a_second_request_at_a_time_is_refused_and_harms_nothing(void **state)
{
    struct buf in = {0};

    (void)state;
    put_begin(&in, 1, RESPONDER, KEEP);
    put_begin(&in, 2, RESPONDER, CLOSE); /* while params are awaited */
    put_params(&in, 2, "Q", "not ours");
    put_params(&in, 1, "Q", "ours");
    put(&in, PARAMS, 2, "");
    put(&in, PARAMS, 1, "");
    put(&in, STDIN, 2, "");
    put_begin(&in, 3, FILTER, CLOSE); /* while stdin is awaited */
    put(&in, STDIN, 1, "");
    put_request(&in, 4, CLOSE, "while busy");
    check(&in, NEVER,
          "end 2 status 1\nend 3 status 1\nrequest 1 keep Q=ours\nend 4 status 1\n");
}

static void
test_other_roles_are_refused(void **state)
{
    struct buf in = {0};

    (void)state;
    put_begin(&in, 1, AUTHORIZER, CLOSE);
    check(&in, NEVER, "end 1 status 3, close\n");
    put_begin(&in, 9, FILTER, KEEP);
    put_params(&in, 9, "Q", "ignored");
    put(&in, PARAMS, 9, "");
    put(&in, STDIN, 9, "");
    put_request(&in, 1, KEEP, "fine");
    check(&in, NEVER, "end 9 status 3\nrequest 1 keep Q=fine\n");
    put_begin(&in, 1, 0x0101, KEEP); /* both bytes of the role count */
    put_begin(&in, 1, 0, KEEP);
    check(&in, NEVER, "end 1 status 3\nend 1 status 3\n");
}

static void
test_an_abort_ends_the_request_in_each_phase(void **state)
{
    struct buf in = {0};

    (void)state;
    put(&in, ABORT, 1, ""); /* nothing to abort */
    put_begin(&in, 1, RESPONDER, KEEP);
    put(&in, ABORT, 2, ""); /* not this one */
    put(&in, ABORT, 1, "");
    put_begin(&in, 1, RESPONDER, KEEP);
    put_params(&in, 1, "Q", "old");
    put(&in, ABORT, 1, "");
    put_request(&in, 1, KEEP, "new"); /* of the aborted one nothing is left */
    put(&in, ABORT, 2, "");
    put(&in, ABORT, 1, "");
    check(&in, NEVER, "end 1 status 0\nend 1 status 0\nrequest 1 keep Q=new\nabort\n");

    put_begin(&in, 1, RESPONDER, CLOSE);
    put(&in, PARAMS, 1, "");
    put(&in, STDIN, 1, "half a body");
    put(&in, ABORT, 1, "");
    check(&in, NEVER, "end 1 status 0, close\n");
}

static void
test_records_of_other_requests_are_ignored(void **state)
{
    struct buf in = {0};

    (void)state;
    put_params(&in, 5, "Q", "stray");
    put(&in, STDIN, 5, "stray");
    put(&in, STDIN, 5, "");
    put_begin(&in, 1, RESPONDER, CLOSE);
    put(&in, 200, 1, "a type that nobody knows");
    put(&in, STDIN, 1, "before the params are complete");
    put(&in, STDIN, 1, "");
    put(&in, PARAMS, 1, "");
    put_params(&in, 1, "Q", "behind the end of the params");
    put(&in, STDIN, 1, "");
    put(&in, STDIN, 1, "behind the end of stdin");
    put(&in, PARAMS, 1, "");
    check(&in, NEVER, "request 1\n");
}

/* --- management records --------------------------------------------------------------- */

static void
put_values(struct buf *in, const char *const *names)
{
    struct buf pairs = {0};

    for (; *names != NULL; names++)
        put_pair(&pairs, *names, "");
    put_padded(in, GET_VALUES, 0, buf_slice(&pairs), 2);
    buf_fini(&pairs);
}

static void
test_values_are_answered_as_asked(void **state)
{
    struct buf in = {0};

    (void)state;
    put_values(&in, (const char *const[]){"FCGI_MAX_CONNS", "FCGI_MAX_REQS",
                                          "FCGI_MPXS_CONNS", NULL});
    check(&in, NEVER, "values FCGI_MAX_CONNS=77 FCGI_MAX_REQS=77 FCGI_MPXS_CONNS=0\n");
    put_values(&in, (const char *const[]){"FCGI_MPXS_CONNS", NULL});
    check(&in, NEVER, "values FCGI_MPXS_CONNS=0\n");
    put_values(&in, (const char *const[]){"FCGI_FOO", "FCGI_MAX_CONN", "", NULL});
    check(&in, NEVER, "values\n"); /* what is not understood is left out (section 4.1) */
    put_values(&in, (const char *const[]){NULL});
    check(&in, NEVER, "values\n");
}

static void
test_a_value_asked_for_often_is_answered_once(void **state)
{
    struct buf in = {0};
    const char *names[60];

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        names[i] = "FCGI_MAX_CONNS";
    names[COUNT(names) - 1] = NULL;
    put_values(&in, names);
    check(&in, NEVER, "values FCGI_MAX_CONNS=77\n");
}

static void
test_a_broken_query_for_values_is_answered_as_far_as_it_goes(void **state)
{
    struct buf in = {0};

    (void)state;
    put_padded(&in, GET_VALUES, 0, (struct slice){"\xf\0FCGI_MPXS_CONNS\x80\0\0", 20}, 0);
    check(&in, NEVER, "values FCGI_MPXS_CONNS=0\n");
    put_padded(&in, GET_VALUES, 0, (struct slice){"\xff\xff\xff\xff\xff\xff\xff\xff", 8},
               0);
    check(&in, NEVER, "values\n");
}

static void
test_a_query_for_values_has_a_limit(void **state)
{
    struct buf in = {0};
    char body[FCGI_PARSER_VALUES_MAX + 1] = {0};

    (void)state;
    put_padded(&in, GET_VALUES, 0, (struct slice){body, FCGI_PARSER_VALUES_MAX}, 0);
    check(&in, NEVER, "values\n");
    put_padded(&in, GET_VALUES, 0, (struct slice){body, FCGI_PARSER_VALUES_MAX + 1}, 0);
    check(&in, NEVER, "malformed: FCGI_GET_VALUES too long\n");
}

static void
test_unknown_management_records_are_answered_as_unknown(void **state)
{
    static const int types[] = {0, ABORT, STDIN, GET_VALUES_RESULT, 11, 200, 255};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct buf in = {0};
        char expected[32];
        put_padded(&in, types[i], 0, slice_of("whatever it says"), 7);
        snprintf(expected, sizeof expected, "unknown %d\n", types[i]);
        check(&in, NEVER, expected);
    }
}

static void
test_management_goes_on_at_every_moment(void **state)
{
    struct buf in = {0};

    (void)state;
    put(&in, 99, 0, "");
    put_begin(&in, 1, RESPONDER, CLOSE);
    put(&in, 98, 0, "");
    put_params(&in, 1, "A", "1");
    put_values(&in, (const char *const[]){"FCGI_MPXS_CONNS", NULL});
    put_params(&in, 1, "B", "2"); /* the query has not disturbed the params */
    put(&in, PARAMS, 1, "");
    put(&in, 97, 0, "x");
    put(&in, STDIN, 1, "");
    put_values(&in, (const char *const[]){"FCGI_MPXS_CONNS", NULL});
    put(&in, 96, 0, "");
    check(&in, NEVER,
          "unknown 99\nunknown 98\nvalues FCGI_MPXS_CONNS=0\nunknown 97\n"
          "request 1 A=1 B=2\nvalues FCGI_MPXS_CONNS=0\nunknown 96\n");
}

/* --- what is no FastCGI --------------------------------------------------------------- */

static void
test_what_is_no_fastcgi_is_malformed(void **state)
{
    static const char *const inputs[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                         "\x16\x03\x01\x02\0\1\0\1\xfc\3\3",
                                         "\2\1\0\1xxxxxx"};

    (void)state;
    for (size_t i = 0; i < COUNT(inputs); i++) {
        struct buf in = {0};
        buf_append(&in, inputs[i], 10);
        check(&in, NEVER, "malformed: not a FastCGI record\n");
    }
    struct buf in = {0};
    put_request(&in, 1, CLOSE, "fine");
    buf_append_text(&in, "and then rubbish");
    check(&in, NEVER, "request 1 Q=fine\nmalformed: not a FastCGI record\n");
}

static void
test_a_begin_of_a_wrong_length_is_malformed(void **state)
{
    static const size_t lens[] = {0, 7, 9, 65535};
    static const char bytes[65535];

    (void)state;
    for (size_t i = 0; i < COUNT(lens); i++) {
        struct buf in = {0};
        put_padded(&in, BEGIN, 1, (struct slice){bytes, lens[i]}, 0);
        check(&in, NEVER, "malformed: FCGI_BEGIN_REQUEST of a wrong length\n");
    }
}

static void
check_bad_params(const char *params, size_t len)
{
    struct buf in = {0};

    put_begin(&in, 1, RESPONDER, CLOSE);
    put_padded(&in, PARAMS, 1, (struct slice){params, len}, 0);
    put(&in, PARAMS, 1, "");
    put(&in, STDIN, 1, "");
    check(&in, NEVER, "malformed: params with lengths that do not fit\n");
}

static void
test_params_whose_lengths_do_not_fit_are_malformed(void **state)
{
    (void)state;
    check_bad_params("\1", 1);
    check_bad_params("\1\1A", 3);
    check_bad_params("\2\0A", 3);
    check_bad_params("\0\1", 2);
    check_bad_params("\1\0A\1", 4);             /* the second pair */
    check_bad_params("\x80", 1);                /* half a length */
    check_bad_params("\1\x80\0\0", 4);          /* half a length */
    check_bad_params("\x80\0\0\1\x80\0\0", 7);  /* half a length */
    check_bad_params("\xff\xff\xff\xff\1A", 6); /* CVE-2025-23016's kind */
    check_bad_params("\1\xff\xff\xff\xff"
                     "A",
                     6);
    check_bad_params("\xff\xff\xff\xff\xff\xff\xff\xff", 8); /* the sum wraps 32 bits */
    check_bad_params("\x80\0\0\3\x80\0\0\0AB", 10);
}

static void
test_params_that_are_no_c_strings_are_malformed(void **state)
{
    (void)state;
    check_bad_params("\1\3Aa\0b", 6); /* NUL in a value */
    check_bad_params("\1\1A\0", 4);   /* NUL alone */
    check_bad_params("\2\1A\0x", 5);  /* NUL in a name */
    check_bad_params("\3\1A=Bx", 6);  /* whose name would be A? */
    check_bad_params("\0\1x", 3);     /* no name */
    check_bad_params("\0\0", 2);
}

static void
put_many_params(struct buf *in, size_t bytes)
{
    struct buf pairs = {0};

    put_len(&pairs, 3, false);
    put_len(&pairs, bytes - 8, false); /* 1 + 4 + 3 go before it */
    buf_append_text(&pairs, "BIG");
    while (pairs.len < bytes)
        buf_append_text(&pairs, "x");
    put_begin(in, 1, RESPONDER, CLOSE);
    for (size_t at = 0; at < bytes; at += 30000) {
        size_t len = bytes - at < 30000 ? bytes - at : 30000;
        put_padded(in, PARAMS, 1, (struct slice){pairs.p + at, len}, 1);
    }
    put(in, PARAMS, 1, "");
    put(in, STDIN, 1, "");
    buf_fini(&pairs);
}

static void
test_params_may_have_64_kib_and_no_more(void **state)
{
    struct buf in = {0};

    (void)state;
    put_many_params(&in, FCGI_PARSER_PARAMS_MAX);
    check(&in, NEVER, "request 1 BIG=(65528)\n");
    put_many_params(&in, FCGI_PARSER_PARAMS_MAX + 1);
    check(&in, NEVER, "malformed: more than 64 KiB of params\n");
}

/* --- in the middle -------------------------------------------------------------------- */

static void
test_it_knows_whether_a_request_is_owed(void **state)
{
    struct fcgi_parser parser = {0};
    struct buf in = {0};
    struct buf notes = {0};

    (void)state;
    put_request(&in, 1, KEEP, "a");
    assert_false(fcgi_parser_is_midway(&parser));
    for (size_t i = 0; i + 1 < in.len; i++) {
        const char *p = in.p + i;
        size_t len = 1;
        assert_int_equal(fcgi_parser_feed(&parser, &p, &len, 1), FCGI_PARSER_MORE);
        assert_true(fcgi_parser_is_midway(&parser));
    }
    assert_true(feed_piece(&parser, (struct slice){in.p + in.len - 1, 1}, AT_ONCE, &notes));
    assert_false(fcgi_parser_is_midway(&parser));
    const char *p = in.p;
    size_t len = 1;
    assert_int_equal(fcgi_parser_feed(&parser, &p, &len, 1), FCGI_PARSER_MORE);
    assert_true(fcgi_parser_is_midway(&parser)); /* the next one has begun */
    buf_fini(&in);
    buf_fini(&notes);
    fcgi_parser_fini(&parser);
}

static void
test_it_stops_right_behind_what_must_be_acted_on(void **state)
{
    struct fcgi_parser parser = {0};
    struct buf in = {0};

    (void)state;
    put_request(&in, 1, KEEP, "a");
    size_t first = in.len;
    put(&in, ABORT, 1, "");
    const char *p = in.p;
    size_t len = in.len;
    assert_int_equal(fcgi_parser_feed(&parser, &p, &len, 1), FCGI_PARSER_REQUEST);
    assert_ptr_equal(p, in.p + first);
    assert_int_equal(len, in.len - first);
    fcgi_parser_set_busy(&parser);
    assert_int_equal(fcgi_parser_feed(&parser, &p, &len, 1), FCGI_PARSER_ABORT);
    assert_int_equal(len, 0);
    buf_fini(&in);
    fcgi_parser_fini(&parser);
}

/* A POST of `claims` bytes with a body of `bytes` in records of `part`, fed in pieces of
 * `piece`. */
struct post {
    const char *method, *claims;
    size_t bytes, part, piece;
};

static struct request_body
take_post(const struct post *post)
{
    struct fcgi_parser parser = {.takes_body = true};
    struct buf in = {0};
    struct buf body = {0};
    struct request_body taken = {.came = 0};

    for (size_t i = 0; i < post->bytes; i++)
        buf_append(&body, &(char){(char)(i * 7)}, 1);
    put_begin(&in, 1, RESPONDER, KEEP);
    put_params(&in, 1, "REQUEST_METHOD", post->method);
    if (post->claims != NULL)
        put_params(&in, 1, "CONTENT_LENGTH", post->claims);
    put(&in, PARAMS, 1, "");
    for (size_t at = 0; at < post->bytes; at += post->part) {
        size_t len = post->bytes - at < post->part ? post->bytes - at : post->part;
        put_padded(&in, STDIN, 1, (struct slice){body.p + at, len}, at % 8);
        put(&in, STDIN, 2, "another's");
    }
    put(&in, STDIN, 1, "");
    for (size_t at = 0; at < in.len; at += post->piece) {
        const char *p = in.p + at;
        size_t len = in.len - at < post->piece ? in.len - at : post->piece;
        enum fcgi_parser_event event = fcgi_parser_feed(&parser, &p, &len, 1);
        assert_int_equal(event, at + post->piece < in.len ? FCGI_PARSER_MORE
                                                          : FCGI_PARSER_REQUEST);
    }
    taken = fcgi_parser_take_body(&parser);
    fcgi_parser_set_busy(&parser);
    assert_true(taken.bytes.len == 0 || taken.bytes.len == post->bytes);
    if (taken.bytes.len > 0)
        assert_memory_equal(taken.bytes.p, body.p, post->bytes);
    buf_fini(&in);
    buf_fini(&body);
    return taken;
}

static void
test_the_body_of_a_post_is_gathered_up_to_its_limit(void **state)
{
    static const struct {
        struct post post;
        bool gathered;
    } cases[] = {
        {{"POST", "5", 5, 65535, 100000}, true},
        {{"POST", "5", 5, 1, 1}, true},
        {{"POST", "5", 4, 3, 2}, true}, /* fewer than it said: the judge sees that */
        {{"POST", "65536", 65536, 65535, 4096}, true},
        {{"POST", "65536", 65536, 1000, 7}, true},
        {{"POST", "65536", 65537, 1000, 4096}, false},
        {{"POST", "65537", 65537, 65535, 4096}, false},
        {{"POST", "65537", 5, 65535, 4096}, false},
        {{"POST", "99999999999999999999999", 200000, 65535, 4096}, false},
        {{"POST", NULL, 5, 65535, 4096}, false},
        {{"POST", "", 5, 65535, 4096}, false},
        {{"POST", "-5", 5, 65535, 4096}, false},
        {{"GET", "5", 5, 65535, 4096}, false},
        {{"PUT", "5", 5, 65535, 4096}, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request_body body = take_post(&cases[i].post);
        CHECK((body.bytes.len > 0) == cases[i].gathered, "case %zu\n", i);
        CHECK(body.came == cases[i].post.bytes, "case %zu\n", i);
        CHECK(cases[i].gathered || body.bytes.cap == 0, "case %zu holds memory\n", i);
        buf_fini(&body.bytes);
    }
}

static void
test_a_busy_connection_holds_no_memory(void **state)
{
    struct fcgi_parser parser = {0};
    struct buf in = {0};

    (void)state;
    put_many_params(&in, FCGI_PARSER_PARAMS_MAX);
    const char *p = in.p;
    size_t len = in.len;
    assert_int_equal(fcgi_parser_feed(&parser, &p, &len, 1), FCGI_PARSER_REQUEST);
    assert_non_null(parser.work);
    fcgi_parser_set_busy(&parser);
    assert_null(parser.work);
    buf_fini(&in);
    fcgi_parser_fini(&parser);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_arrives_however_it_is_cut),
        cmocka_unit_test(test_padding_is_passed_over),
        cmocka_unit_test(test_params_may_be_cut_into_records_anywhere),
        cmocka_unit_test(test_a_request_may_have_no_params),
        cmocka_unit_test(test_a_body_on_stdin_is_skipped),
        cmocka_unit_test(test_kept_connections_carry_request_after_request),
        cmocka_unit_test(test_a_second_request_at_a_time_is_refused_and_harms_nothing),
        cmocka_unit_test(test_other_roles_are_refused),
        cmocka_unit_test(test_an_abort_ends_the_request_in_each_phase),
        cmocka_unit_test(test_records_of_other_requests_are_ignored),
        cmocka_unit_test(test_values_are_answered_as_asked),
        cmocka_unit_test(test_a_value_asked_for_often_is_answered_once),
        cmocka_unit_test(test_a_broken_query_for_values_is_answered_as_far_as_it_goes),
        cmocka_unit_test(test_a_query_for_values_has_a_limit),
        cmocka_unit_test(test_unknown_management_records_are_answered_as_unknown),
        cmocka_unit_test(test_management_goes_on_at_every_moment),
        cmocka_unit_test(test_what_is_no_fastcgi_is_malformed),
        cmocka_unit_test(test_a_begin_of_a_wrong_length_is_malformed),
        cmocka_unit_test(test_params_whose_lengths_do_not_fit_are_malformed),
        cmocka_unit_test(test_params_that_are_no_c_strings_are_malformed),
        cmocka_unit_test(test_params_may_have_64_kib_and_no_more),
        cmocka_unit_test(test_it_knows_whether_a_request_is_owed),
        cmocka_unit_test(test_it_stops_right_behind_what_must_be_acted_on),
        cmocka_unit_test(test_the_body_of_a_post_is_gathered_up_to_its_limit),
        cmocka_unit_test(test_a_busy_connection_holds_no_memory),
    };

    return RUN(tests);
}
