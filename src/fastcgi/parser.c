/* parser.c - the state machine that reads FastCGI records from a web server.
 *
 * fastcgi/gateway.c feeds it what read(2) gives and acts on what comes back. One parser lives as
 * long as its connection: while a request is being answered it continues, to see an abort, a second
 * request on the same connection (refused: no web server multiplexes) or a management record.
 * Bodies that rowcast does not need are skipped without a copy; a request's own body (stdin) too,
 * unless the owner takes bodies and it is that of a POST. */
#include "config.h"

#include "fastcgi/parser.h"

#include <assert.h>
#include <fastcgi.h>
#include <stdio.h>
#include <stdlib.h>

#include "fastcgi/pairs.h"
#include "fastcgi/records.h"
#include "base/parse_number.h"

struct fcgi_parser_work {
    struct buf params;
    struct request_body stdin_body;
    bool gathers;    /* the body of this request: see fcgi_parser_judge_body */
    struct buf body; /* of a short record: BEGIN_REQUEST, GET_VALUES */
    struct buf reply;
};

static unsigned
fcgi_parser_record_id(const struct fcgi_parser *parser)
{
    return (unsigned)parser->header[2] << 8 | parser->header[3];
}

static enum fcgi_parser_event
fcgi_parser_fail(struct fcgi_parser *parser, const char *fault)
{
    parser->fault = fault;
    return FCGI_PARSER_MALFORMED;
}

static struct fcgi_parser_work *
fcgi_parser_need_work(struct fcgi_parser *parser)
{
    if (parser->work == NULL)
        parser->work = calloc(1, sizeof *parser->work);
    return parser->work;
}

/* The params are complete: is there a body that will be read? How long it is going to be is
 * looked at before the first byte of it is kept. */
static void
fcgi_parser_judge_body(struct fcgi_parser *parser)
{
    struct slice pairs = buf_slice(&parser->work->params);
    char text[24];
    int64_t len;
    parser->work->gathers = parser->takes_body &&
                            pairs_find(pairs, "REQUEST_METHOD", text, sizeof text) &&
                            (strcmp(text, "POST") == 0 || strcmp(text, "DELETE") == 0) &&
                            pairs_find(pairs, "CONTENT_LENGTH", text, sizeof text) &&
                            parse_count(text, 1, REQUEST_BODY_MAX, &len) == 0;
}

/* A piece of the body begins. */
static bool
fcgi_parser_wants_body(struct fcgi_parser_work *work, size_t bytes)
{
    work->stdin_body.came += bytes;
    if (work->gathers && work->stdin_body.came > REQUEST_BODY_MAX) {
        work->gathers = false;
        buf_fini(&work->stdin_body.bytes);
    }
    return work->gathers;
}

static enum fcgi_parser_event
fcgi_parser_refuse(struct fcgi_parser *parser, unsigned request_id, int protocol_status)
{
    struct fcgi_parser_work *work = fcgi_parser_need_work(parser);
    if (work == NULL)
        return fcgi_parser_fail(parser, "out of memory");
    unsigned char record[2 * RECORD_HEADER] = {0};
    record_put_header(record, FCGI_END_REQUEST, (uint16_t)request_id, RECORD_HEADER);
    record[RECORD_HEADER + 4] = (unsigned char)protocol_status;
    buf_clear(&work->reply);
    buf_append(&work->reply, record, sizeof record);
    return work->reply.failed ? fcgi_parser_fail(parser, "out of memory")
                              : FCGI_PARSER_REPLY;
}

static enum fcgi_parser_event
fcgi_parser_begin(struct fcgi_parser *parser, const struct buf *record)
{
    unsigned id = fcgi_parser_record_id(parser);
    const unsigned char *body = (const unsigned char *)record->p;
    assert(body != NULL); /* fcgi_parser_header_done has seen to its length */
    unsigned role = (unsigned)body[0] << 8 | body[1];
    bool keep = (body[2] & FCGI_KEEP_CONN) != 0;

    parser->close_after = false;
    if (parser->phase != FCGI_PARSER_IDLE)
        return fcgi_parser_refuse(parser, id, FCGI_CANT_MPX_CONN);
    if (role != FCGI_RESPONDER) {
        parser->close_after = !keep;
        return fcgi_parser_refuse(parser, id, FCGI_UNKNOWN_ROLE);
    }
    parser->request_id = (uint16_t)id;
    parser->keep_conn = keep;
    parser->phase = FCGI_PARSER_PARAMS;
    buf_clear(&parser->work->params);
    buf_clear(&parser->work->stdin_body.bytes);
    parser->work->stdin_body.came = 0;
    return FCGI_PARSER_MORE;
}

/* FCGI_GET_VALUES (section 4.1): the names asked for come back with our values. */
static enum fcgi_parser_event
fcgi_parser_values(struct fcgi_parser *parser, struct fcgi_parser_work *work,
                   unsigned max_conns)
{
    char conns[16];
    snprintf(conns, sizeof conns, "%u", max_conns);
    const char *const known[][2] = {
        {FCGI_MAX_CONNS, conns}, {FCGI_MAX_REQS, conns}, {FCGI_MPXS_CONNS, "0"}};

    struct buf answer = {0};
    struct slice pairs = buf_slice(&work->body);
    struct slice name;
    struct slice value;
    bool answered[3] = {false, false, false};
    while (pairs.len > 0 && pairs_next(&pairs, &name, &value)) {
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (answered[i] || !slice_equal(name, slice_of(known[i][0])))
                continue;
            answered[i] = true;
            unsigned char lens[2] = {(unsigned char)strlen(known[i][0]),
                                     (unsigned char)strlen(known[i][1])};
            buf_append(&answer, lens, sizeof lens);
            buf_append_text(&answer, known[i][0]);
            buf_append_text(&answer, known[i][1]);
        }
    }
    unsigned char header[RECORD_HEADER];
    record_put_header(header, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID, answer.len);
    buf_clear(&work->reply);
    buf_append(&work->reply, header, sizeof header);
    buf_append(&work->reply, answer.p, answer.len);
    bool failed = answer.failed || work->reply.failed;
    buf_fini(&answer);
    parser->close_after = false;
    return failed ? fcgi_parser_fail(parser, "out of memory") : FCGI_PARSER_REPLY;
}

/* A management record that we do not know (section 4.2). */
static enum fcgi_parser_event
fcgi_parser_unknown(struct fcgi_parser *parser)
{
    struct fcgi_parser_work *work = fcgi_parser_need_work(parser);
    if (work == NULL)
        return fcgi_parser_fail(parser, "out of memory");
    unsigned char record[2 * RECORD_HEADER] = {0};
    record_put_header(record, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, RECORD_HEADER);
    record[RECORD_HEADER] = parser->header[1];
    buf_clear(&work->reply);
    buf_append(&work->reply, record, sizeof record);
    parser->close_after = false;
    return work->reply.failed ? fcgi_parser_fail(parser, "out of memory")
                              : FCGI_PARSER_REPLY;
}

/* The header is there: is the record sane, and is its body wanted? */
static enum fcgi_parser_event
fcgi_parser_header_done(struct fcgi_parser *parser)
{
    unsigned id = fcgi_parser_record_id(parser);
    int type = parser->header[1];
    size_t body = (size_t)parser->header[4] << 8 | parser->header[5];
    parser->body_left = (uint16_t)body;
    parser->pad_left = parser->header[6];
    parser->wanted = false;

    if (parser->header[0] != FCGI_VERSION_1)
        return fcgi_parser_fail(parser, "not a FastCGI record");
    if (id == FCGI_NULL_REQUEST_ID) {
        if (type != FCGI_GET_VALUES)
            return FCGI_PARSER_MORE;
        if (body > FCGI_PARSER_VALUES_MAX)
            return fcgi_parser_fail(parser, "FCGI_GET_VALUES too long");
        parser->wanted = true;
    } else if (type == FCGI_BEGIN_REQUEST) {
        if (body != sizeof(FCGI_BeginRequestBody))
            return fcgi_parser_fail(parser, "FCGI_BEGIN_REQUEST of a wrong length");
        parser->wanted = true;
    } else if (type == FCGI_PARAMS && parser->phase == FCGI_PARSER_PARAMS &&
               id == parser->request_id) {
        if (parser->work->params.len + body > FCGI_PARSER_PARAMS_MAX)
            return fcgi_parser_fail(parser, "more than 64 KiB of params");
        parser->wanted = true;
    } else if (type == FCGI_STDIN && parser->phase == FCGI_PARSER_STDIN &&
               id == parser->request_id) {
        parser->wanted = fcgi_parser_wants_body(parser->work, body);
        return FCGI_PARSER_MORE;
    }
    if (!parser->wanted)
        return FCGI_PARSER_MORE;
    if (fcgi_parser_need_work(parser) == NULL)
        return fcgi_parser_fail(parser, "out of memory");
    if (type != FCGI_PARAMS)
        buf_clear(&parser->work->body);
    return FCGI_PARSER_MORE;
}

/* The record is complete, padding and all. */
static enum fcgi_parser_event
fcgi_parser_record_done(struct fcgi_parser *parser, unsigned max_conns)
{
    unsigned id = fcgi_parser_record_id(parser);
    int type = parser->header[1];
    bool empty = parser->header[4] == 0 && parser->header[5] == 0;

    if (parser->work != NULL && (parser->work->params.failed || parser->work->body.failed ||
                                 parser->work->stdin_body.bytes.failed))
        return fcgi_parser_fail(parser, "out of memory");
    if (id == FCGI_NULL_REQUEST_ID && type != FCGI_GET_VALUES)
        return fcgi_parser_unknown(parser);
    if (id == FCGI_NULL_REQUEST_ID || type == FCGI_BEGIN_REQUEST) {
        struct fcgi_parser_work *work =
            fcgi_parser_need_work(parser); /* there since the header */
        if (work == NULL)
            return fcgi_parser_fail(parser, "out of memory");
        return type == FCGI_BEGIN_REQUEST ? fcgi_parser_begin(parser, &work->body)
                                          : fcgi_parser_values(parser, work, max_conns);
    }
    /* Section 3.3: records of a request id that is not active are ignored. */
    if (parser->phase == FCGI_PARSER_IDLE || id != parser->request_id)
        return FCGI_PARSER_MORE;
    if (type == FCGI_ABORT_REQUEST) {
        if (parser->phase == FCGI_PARSER_BUSY)
            return FCGI_PARSER_ABORT;
        parser->phase = FCGI_PARSER_IDLE;
        parser->close_after = !parser->keep_conn;
        return fcgi_parser_refuse(parser, id, FCGI_REQUEST_COMPLETE);
    }
    if (type == FCGI_PARAMS && parser->phase == FCGI_PARSER_PARAMS && empty) {
        assert(parser->work != NULL); /* since FCGI_BEGIN_REQUEST */
        if (!pairs_are_sound(buf_slice(&parser->work->params)))
            return fcgi_parser_fail(parser, "params with lengths that do not fit");
        parser->phase = FCGI_PARSER_STDIN;
        fcgi_parser_judge_body(parser);
    } else if (type == FCGI_STDIN && parser->phase == FCGI_PARSER_STDIN && empty) {
        return FCGI_PARSER_REQUEST;
    }
    return FCGI_PARSER_MORE;
}

/* Eats what it can of the record's body and padding. */
static void
fcgi_parser_eat(struct fcgi_parser *parser, const char **p, size_t *len)
{
    size_t body = *len < parser->body_left ? *len : parser->body_left;
    if (parser->wanted) {
        struct fcgi_parser_work *work = parser->work;
        int type = parser->header[1];
        buf_append(type == FCGI_PARAMS  ? &work->params
                   : type == FCGI_STDIN ? &work->stdin_body.bytes
                                        : &work->body,
                   *p, body);
    }
    parser->body_left = (uint16_t)(parser->body_left - body);
    *p += body;
    *len -= body;

    size_t pad = *len < parser->pad_left ? *len : parser->pad_left;
    parser->pad_left = (uint8_t)(parser->pad_left - pad);
    *p += pad;
    *len -= pad;
}

enum fcgi_parser_event
fcgi_parser_feed(struct fcgi_parser *parser, const char **p, size_t *len,
                 unsigned max_conns)
{
    while (*len > 0) {
        if (parser->header_len < RECORD_HEADER) {
            size_t want = RECORD_HEADER - (size_t)parser->header_len;
            size_t take = *len < want ? *len : want;
            memcpy(parser->header + parser->header_len, *p, take);
            parser->header_len = (uint8_t)(parser->header_len + take);
            *p += take;
            *len -= take;
            if (parser->header_len < RECORD_HEADER)
                break;
            if (fcgi_parser_header_done(parser) == FCGI_PARSER_MALFORMED)
                return FCGI_PARSER_MALFORMED;
        }
        fcgi_parser_eat(parser, p, len);
        if (parser->body_left > 0 || parser->pad_left > 0)
            break;
        parser->header_len = 0;
        enum fcgi_parser_event event = fcgi_parser_record_done(parser, max_conns);
        if (event != FCGI_PARSER_MORE)
            return event;
    }
    return FCGI_PARSER_MORE;
}

struct slice
fcgi_parser_params(const struct fcgi_parser *parser)
{
    return buf_slice(&parser->work->params);
}

struct request_body
fcgi_parser_take_body(struct fcgi_parser *parser)
{
    struct request_body body = parser->work->stdin_body;
    parser->work->stdin_body = (struct request_body){.came = 0};
    return body;
}

struct slice
fcgi_parser_reply(const struct fcgi_parser *parser)
{
    return buf_slice(&parser->work->reply);
}

void
fcgi_parser_set_busy(struct fcgi_parser *parser)
{
    parser->phase = FCGI_PARSER_BUSY;
    fcgi_parser_fini(parser);
}

void
fcgi_parser_set_idle(struct fcgi_parser *parser)
{
    parser->phase = FCGI_PARSER_IDLE;
}

bool
fcgi_parser_is_midway(const struct fcgi_parser *parser)
{
    return parser->header_len > 0 || parser->phase == FCGI_PARSER_PARAMS ||
           parser->phase == FCGI_PARSER_STDIN;
}

void
fcgi_parser_fini(struct fcgi_parser *parser)
{
    if (parser->work == NULL)
        return;
    buf_fini(&parser->work->params);
    buf_fini(&parser->work->stdin_body.bytes);
    buf_fini(&parser->work->body);
    buf_fini(&parser->work->reply);
    free(parser->work);
    parser->work = NULL;
}
