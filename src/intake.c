/* intake.c - the state machine that reads FastCGI records from a web server.
 *
 * gateway.c feeds it what read(2) gives and acts on what comes back. One parser lives as long
 * as its connection: while a request is being answered it goes on, to see an abort, a second
 * request on the same connection (refused: no web server multiplexes) or a management record.
 * Bodies that nobody needs are skipped without a copy; a request's own body (stdin) too, unless
 * the owner takes bodies and it is that of a POST. */
#include "config.h"

#include "intake.h"

#include <assert.h>
#include <fastcgi.h>
#include <stdio.h>
#include <stdlib.h>

#include "records.h"
#include "scan.h"

struct intake_work {
    struct buf params;
    struct intake_body stdin_body;
    bool gathers;    /* the body of this request: see intake_judge_body */
    struct buf body; /* of a short record: BEGIN_REQUEST, GET_VALUES */
    struct buf reply;
};

static unsigned
intake_record_id(const struct intake *intake)
{
    return (unsigned)intake->header[2] << 8 | intake->header[3];
}

static enum intake_event
intake_fail(struct intake *intake, const char *fault)
{
    intake->fault = fault;
    return INTAKE_MALFORMED;
}

static struct intake_work *
intake_need_work(struct intake *intake)
{
    if (intake->work == NULL)
        intake->work = calloc(1, sizeof *intake->work);
    return intake->work;
}

/* Reads one length of a name-value pair (specification section 3.4). Returns the bytes it took,
 * 0 when they are not there. */
static size_t
pair_read_len(const unsigned char *p, size_t left, size_t *value)
{
    if (left >= 1 && p[0] < 0x80) {
        *value = p[0];
        return 1;
    }
    if (left < 4)
        return 0;
    *value = (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    return 4;
}

/* Splits the first pair off `pairs`. False when the lengths do not fit. */
static bool
pair_next(struct slice *pairs, struct slice *name, struct slice *value)
{
    const unsigned char *p = (const unsigned char *)pairs->p;
    size_t name_len = 0;
    size_t value_len = 0;
    size_t first = pair_read_len(p, pairs->len, &name_len);
    if (first == 0)
        return false;
    size_t second = pair_read_len(p + first, pairs->len - first, &value_len);
    if (second == 0)
        return false;
    size_t left = pairs->len - first - second;
    if (name_len > left || value_len > left - name_len)
        return false;

    *name = (struct slice){pairs->p + first + second, name_len};
    *value = (struct slice){name->p + name_len, value_len};
    size_t used = first + second + name_len + value_len;
    pairs->p += used;
    pairs->len -= used;
    return true;
}

static bool
pairs_are_sound(struct slice pairs)
{
    struct slice name;
    struct slice value;
    while (pairs.len > 0) {
        if (!pair_next(&pairs, &name, &value))
            return false;
        /* libfcgi and getenv-like look-ups work on C strings. */
        if (name.len == 0 || memchr(name.p, '\0', name.len) != NULL ||
            memchr(name.p, '=', name.len) != NULL ||
            (value.len > 0 && memchr(value.p, '\0', value.len) != NULL))
            return false;
    }
    return true;
}

/* A variable as a string in `value`, which has `size` bytes; false when it is not there, or too
 * long. */
static bool
pairs_find(struct slice pairs, const char *wanted, char *value, size_t size)
{
    struct slice name;
    struct slice found;
    while (pairs.len > 0 && pair_next(&pairs, &name, &found)) {
        if (!slice_equal(name, slice_of(wanted)) || found.len >= size)
            continue;
        memcpy(value, found.p, found.len);
        value[found.len] = '\0';
        return true;
    }
    return false;
}

/* The params are complete: is there a body that somebody will read? How long it is going to be is
 * looked at before the first byte of it is kept. */
static void
intake_judge_body(struct intake *intake)
{
    struct slice pairs = buf_slice(&intake->work->params);
    char text[24];
    int64_t len;
    intake->work->gathers = intake->takes_body &&
                            pairs_find(pairs, "REQUEST_METHOD", text, sizeof text) &&
                            strcmp(text, "POST") == 0 &&
                            pairs_find(pairs, "CONTENT_LENGTH", text, sizeof text) &&
                            scan_count(text, 1, INTAKE_BODY_MAX, &len) == 0;
}

/* A piece of the body begins. */
static bool
intake_wants_body(struct intake_work *work, size_t bytes)
{
    work->stdin_body.came += bytes;
    if (work->gathers && work->stdin_body.came > INTAKE_BODY_MAX) {
        work->gathers = false;
        buf_fini(&work->stdin_body.bytes);
    }
    return work->gathers;
}

static enum intake_event
intake_refuse(struct intake *intake, unsigned request_id, int protocol_status)
{
    struct intake_work *work = intake_need_work(intake);
    if (work == NULL)
        return intake_fail(intake, "out of memory");
    unsigned char record[2 * RECORD_HEADER] = {0};
    record_put_header(record, FCGI_END_REQUEST, (uint16_t)request_id, RECORD_HEADER);
    record[RECORD_HEADER + 4] = (unsigned char)protocol_status;
    buf_clear(&work->reply);
    buf_append(&work->reply, record, sizeof record);
    return work->reply.failed ? intake_fail(intake, "out of memory") : INTAKE_REPLY;
}

static enum intake_event
intake_begin(struct intake *intake, const struct buf *record)
{
    unsigned id = intake_record_id(intake);
    const unsigned char *body = (const unsigned char *)record->p;
    assert(body != NULL); /* intake_header_done has seen to its length */
    unsigned role = (unsigned)body[0] << 8 | body[1];
    bool keep = (body[2] & FCGI_KEEP_CONN) != 0;

    intake->close_after = false;
    if (intake->phase != INTAKE_IDLE)
        return intake_refuse(intake, id, FCGI_CANT_MPX_CONN);
    if (role != FCGI_RESPONDER) {
        intake->close_after = !keep;
        return intake_refuse(intake, id, FCGI_UNKNOWN_ROLE);
    }
    intake->request_id = (uint16_t)id;
    intake->keep_conn = keep;
    intake->phase = INTAKE_PARAMS;
    buf_clear(&intake->work->params);
    buf_clear(&intake->work->stdin_body.bytes);
    intake->work->stdin_body.came = 0;
    return INTAKE_MORE;
}

/* FCGI_GET_VALUES (section 4.1): the names asked for come back with our values. */
static enum intake_event
intake_values(struct intake *intake, struct intake_work *work, unsigned max_conns)
{
    char conns[16];
    snprintf(conns, sizeof conns, "%u", max_conns);
    const char *const known[][2] = {
        {FCGI_MAX_CONNS, conns}, {FCGI_MAX_REQS, conns}, {FCGI_MPXS_CONNS, "0"}};

    struct buf answer = {0};
    struct slice pairs = buf_slice(&work->body);
    struct slice name;
    struct slice value;
    bool told[3] = {false, false, false};
    while (pairs.len > 0 && pair_next(&pairs, &name, &value)) {
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (told[i] || !slice_equal(name, slice_of(known[i][0])))
                continue;
            told[i] = true;
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
    intake->close_after = false;
    return failed ? intake_fail(intake, "out of memory") : INTAKE_REPLY;
}

/* A management record that we do not know (section 4.2). */
static enum intake_event
intake_unknown(struct intake *intake)
{
    struct intake_work *work = intake_need_work(intake);
    if (work == NULL)
        return intake_fail(intake, "out of memory");
    unsigned char record[2 * RECORD_HEADER] = {0};
    record_put_header(record, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, RECORD_HEADER);
    record[RECORD_HEADER] = intake->header[1];
    buf_clear(&work->reply);
    buf_append(&work->reply, record, sizeof record);
    intake->close_after = false;
    return work->reply.failed ? intake_fail(intake, "out of memory") : INTAKE_REPLY;
}

/* The header is there: is the record sane, and is its body wanted? */
static enum intake_event
intake_header_done(struct intake *intake)
{
    unsigned id = intake_record_id(intake);
    int type = intake->header[1];
    size_t body = (size_t)intake->header[4] << 8 | intake->header[5];
    intake->body_left = (uint16_t)body;
    intake->pad_left = intake->header[6];
    intake->wanted = false;

    if (intake->header[0] != FCGI_VERSION_1)
        return intake_fail(intake, "not a FastCGI record");
    if (id == FCGI_NULL_REQUEST_ID) {
        if (type != FCGI_GET_VALUES)
            return INTAKE_MORE;
        if (body > INTAKE_VALUES_MAX)
            return intake_fail(intake, "FCGI_GET_VALUES too long");
        intake->wanted = true;
    } else if (type == FCGI_BEGIN_REQUEST) {
        if (body != sizeof(FCGI_BeginRequestBody))
            return intake_fail(intake, "FCGI_BEGIN_REQUEST of a wrong length");
        intake->wanted = true;
    } else if (type == FCGI_PARAMS && intake->phase == INTAKE_PARAMS &&
               id == intake->request_id) {
        if (intake->work->params.len + body > INTAKE_PARAMS_MAX)
            return intake_fail(intake, "more than 64 KiB of params");
        intake->wanted = true;
    } else if (type == FCGI_STDIN && intake->phase == INTAKE_STDIN &&
               id == intake->request_id) {
        intake->wanted = intake_wants_body(intake->work, body);
        return INTAKE_MORE;
    }
    if (!intake->wanted)
        return INTAKE_MORE;
    if (intake_need_work(intake) == NULL)
        return intake_fail(intake, "out of memory");
    if (type != FCGI_PARAMS)
        buf_clear(&intake->work->body);
    return INTAKE_MORE;
}

/* The record is complete, padding and all. */
static enum intake_event
intake_record_done(struct intake *intake, unsigned max_conns)
{
    unsigned id = intake_record_id(intake);
    int type = intake->header[1];
    bool empty = intake->header[4] == 0 && intake->header[5] == 0;

    if (intake->work != NULL && (intake->work->params.failed || intake->work->body.failed ||
                                 intake->work->stdin_body.bytes.failed))
        return intake_fail(intake, "out of memory");
    if (id == FCGI_NULL_REQUEST_ID && type != FCGI_GET_VALUES)
        return intake_unknown(intake);
    if (id == FCGI_NULL_REQUEST_ID || type == FCGI_BEGIN_REQUEST) {
        struct intake_work *work = intake_need_work(intake); /* there since the header */
        if (work == NULL)
            return intake_fail(intake, "out of memory");
        return type == FCGI_BEGIN_REQUEST ? intake_begin(intake, &work->body)
                                          : intake_values(intake, work, max_conns);
    }
    /* Section 3.3: records of a request id that is not active are ignored. */
    if (intake->phase == INTAKE_IDLE || id != intake->request_id)
        return INTAKE_MORE;
    if (type == FCGI_ABORT_REQUEST) {
        if (intake->phase == INTAKE_BUSY)
            return INTAKE_ABORT;
        intake->phase = INTAKE_IDLE;
        intake->close_after = !intake->keep_conn;
        return intake_refuse(intake, id, FCGI_REQUEST_COMPLETE);
    }
    if (type == FCGI_PARAMS && intake->phase == INTAKE_PARAMS && empty) {
        assert(intake->work != NULL); /* since FCGI_BEGIN_REQUEST */
        if (!pairs_are_sound(buf_slice(&intake->work->params)))
            return intake_fail(intake, "params with lengths that do not fit");
        intake->phase = INTAKE_STDIN;
        intake_judge_body(intake);
    } else if (type == FCGI_STDIN && intake->phase == INTAKE_STDIN && empty) {
        return INTAKE_REQUEST;
    }
    return INTAKE_MORE;
}

/* Eats what it can of the record's body and padding. */
static void
intake_eat(struct intake *intake, const char **p, size_t *len)
{
    size_t body = *len < intake->body_left ? *len : intake->body_left;
    if (intake->wanted) {
        struct intake_work *work = intake->work;
        int type = intake->header[1];
        buf_append(type == FCGI_PARAMS  ? &work->params
                   : type == FCGI_STDIN ? &work->stdin_body.bytes
                                        : &work->body,
                   *p, body);
    }
    intake->body_left = (uint16_t)(intake->body_left - body);
    *p += body;
    *len -= body;

    size_t pad = *len < intake->pad_left ? *len : intake->pad_left;
    intake->pad_left = (uint8_t)(intake->pad_left - pad);
    *p += pad;
    *len -= pad;
}

enum intake_event
intake_feed(struct intake *intake, const char **p, size_t *len, unsigned max_conns)
{
    while (*len > 0) {
        if (intake->header_len < RECORD_HEADER) {
            size_t want = RECORD_HEADER - (size_t)intake->header_len;
            size_t take = *len < want ? *len : want;
            memcpy(intake->header + intake->header_len, *p, take);
            intake->header_len = (uint8_t)(intake->header_len + take);
            *p += take;
            *len -= take;
            if (intake->header_len < RECORD_HEADER)
                break;
            if (intake_header_done(intake) == INTAKE_MALFORMED)
                return INTAKE_MALFORMED;
        }
        intake_eat(intake, p, len);
        if (intake->body_left > 0 || intake->pad_left > 0)
            break;
        intake->header_len = 0;
        enum intake_event event = intake_record_done(intake, max_conns);
        if (event != INTAKE_MORE)
            return event;
    }
    return INTAKE_MORE;
}

struct slice
intake_params(const struct intake *intake)
{
    return buf_slice(&intake->work->params);
}

struct intake_body
intake_take_body(struct intake *intake)
{
    struct intake_body body = intake->work->stdin_body;
    intake->work->stdin_body = (struct intake_body){.came = 0};
    return body;
}

struct slice
intake_reply(const struct intake *intake)
{
    return buf_slice(&intake->work->reply);
}

void
intake_set_busy(struct intake *intake)
{
    intake->phase = INTAKE_BUSY;
    intake_fini(intake);
}

void
intake_set_idle(struct intake *intake)
{
    intake->phase = INTAKE_IDLE;
}

bool
intake_is_midway(const struct intake *intake)
{
    return intake->header_len > 0 || intake->phase == INTAKE_PARAMS ||
           intake->phase == INTAKE_STDIN;
}

void
intake_fini(struct intake *intake)
{
    if (intake->work == NULL)
        return;
    buf_fini(&intake->work->params);
    buf_fini(&intake->work->stdin_body.bytes);
    buf_fini(&intake->work->body);
    buf_fini(&intake->work->reply);
    free(intake->work);
    intake->work = NULL;
}
