/* fuzz_records.c - any bytes as a FastCGI conversation, in pieces of any size. Input: one byte of
 * flags, one byte N, N bytes of piece sizes (used in turn), then the conversation.
 *
 * fcgi_parser_feed never eats beyond a piece, stops only where there is something to act on,
 * hands on only params that are name-value pairs of C strings, and replies only with whole,
 * well-formed records; and what comes of a conversation does not depend on how it was cut. */
#include "config.h"

#include <string.h>

#include "fuzz.h"
#include "fastcgi/parser.h"

enum { FLAG_AT_ONCE = 1 }; /* requests are answered at once, not never */
enum { END_REQUEST = 3, GET_VALUES_RESULT = 10, UNKNOWN_TYPE = 11 };

/* The specification's section 3.4, and nothing of fastcgi/parser.c. */
static size_t
take_len(const unsigned char **p, const unsigned char *end)
{
    MUST(*p < end);
    size_t len = *(*p)++;
    if (len < 128)
        return len;
    MUST(end - *p >= 3);
    len = (len & 127) << 24 | (size_t)(*p)[0] << 16 | (size_t)(*p)[1] << 8 | (*p)[2];
    *p += 3;
    return len;
}

static void
check_params(struct slice params)
{
    const unsigned char *p = (const unsigned char *)params.p;
    const unsigned char *end = p + params.len;

    MUST(params.len <= FCGI_PARSER_PARAMS_MAX);
    while (p < end) {
        size_t name = take_len(&p, end);
        size_t value = take_len(&p, end);
        MUST(name <= (size_t)(end - p) && value <= (size_t)(end - p) - name);
        MUST(name > 0);
        for (size_t i = 0; i < name + value; i++)
            MUST(p[i] != '\0');
        for (size_t i = 0; i < name; i++)
            MUST(p[i] != '=');
        p += name + value;
    }
}

static void
check_reply(struct slice reply)
{
    const unsigned char *p = (const unsigned char *)reply.p;

    MUST(reply.len >= 8 && reply.len <= FCGI_PARSER_REPLY_MAX);
    size_t body = (size_t)p[4] << 8 | p[5];
    unsigned id = (unsigned)p[2] << 8 | p[3];
    MUST(p[0] == 1);
    MUST(reply.len == 8 + body + p[6]);
    if (p[1] == END_REQUEST)
        MUST(id != 0 && body == 8 && (p[8] | p[9] | p[10] | p[11]) == 0 && p[12] <= 3);
    else if (p[1] == UNKNOWN_TYPE)
        MUST(id == 0 && body == 8);
    else
        MUST(id == 0 && p[1] == GET_VALUES_RESULT);
}

/* Writes down what happened, for the comparison. */
static void
note(struct buf *notes, enum fcgi_parser_event event, const struct fcgi_parser *parser,
     struct slice bytes)
{
    buf_printf(notes, "%d %u %d %d %zu:", (int)event, parser->request_id, parser->keep_conn,
               event == FCGI_PARSER_REPLY && parser->close_after, bytes.len);
    buf_append(notes, bytes.p, bytes.len);
}

/* False when the connection is to be closed. */
static bool
feed(struct fcgi_parser *parser, struct slice piece, bool at_once, struct buf *notes)
{
    for (;;) {
        const char *end = piece.p + piece.len;
        size_t before = piece.len;
        enum fcgi_parser_event event = fcgi_parser_feed(parser, &piece.p, &piece.len, 100);
        MUST(piece.len <= before && piece.p + piece.len == end);
        switch (event) {
        case FCGI_PARSER_MORE:
            MUST(piece.len == 0);
            return true;
        case FCGI_PARSER_REQUEST:
            MUST(piece.len < before && fcgi_parser_is_midway(parser));
            check_params(fcgi_parser_params(parser));
            note(notes, event, parser, fcgi_parser_params(parser));
            fcgi_parser_set_busy(parser);
            if (at_once)
                fcgi_parser_set_idle(parser);
            MUST(!fcgi_parser_is_midway(parser));
            break;
        case FCGI_PARSER_ABORT:
            MUST(piece.len < before);
            note(notes, event, parser, (struct slice){"", 0});
            break;
        case FCGI_PARSER_REPLY:
            MUST(piece.len < before);
            check_reply(fcgi_parser_reply(parser));
            note(notes, event, parser, fcgi_parser_reply(parser));
            break;
        case FCGI_PARSER_MALFORMED:
            MUST(parser->fault != NULL);
            note(notes, event, parser,
                 (struct slice){parser->fault, strlen(parser->fault)});
            return false;
        }
    }
}

/* sizes empty: all in one piece. Each piece is memory of its own, so that AddressSanitizer sees a
 * step beyond it. */
static void
converse(struct slice conversation, struct slice sizes, bool at_once, struct buf *notes)
{
    struct fcgi_parser parser = {0};
    bool goes_on = true;

    for (size_t i = 0; goes_on && conversation.len > 0; i++) {
        size_t size = sizes.len == 0 ? conversation.len
                                     : (size_t)(unsigned char)sizes.p[i % sizes.len] + 1;
        struct slice piece = fuzz_take_bytes(&conversation, size);
        char *copy = malloc(piece.len);
        MUST(copy != NULL);
        memcpy(copy, piece.p, piece.len);
        goes_on = feed(&parser, (struct slice){copy, piece.len}, at_once, notes);
        free(copy);
    }
    fcgi_parser_fini(&parser);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    struct buf whole = {0};
    struct buf pieces = {0};

    bool at_once = (fuzz_take_byte(&input) & FLAG_AT_ONCE) != 0;
    struct slice sizes = fuzz_take_bytes(&input, fuzz_take_byte(&input));
    converse(input, (struct slice){"", 0}, at_once, &whole);
    converse(input, sizes, at_once, &pieces);
    MUST(!whole.failed && !pieces.failed);
    MUST(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    buf_fini(&whole);
    buf_fini(&pieces);
    return 0;
}
