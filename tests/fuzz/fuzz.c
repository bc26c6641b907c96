/* fuzz.c - helpers of the fuzz targets. */
#include "config.h"

#include "fuzz.h"

uint8_t
fuzz_take_byte(struct slice *input)
{
    if (input->len == 0)
        return 0;
    input->len--;
    return (uint8_t)*input->p++;
}

int64_t
fuzz_take_int(struct slice *input)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | fuzz_take_byte(input);
    return (int64_t)value;
}

struct slice
fuzz_take_bytes(struct slice *input, size_t max)
{
    struct slice taken = {input->p, input->len < max ? input->len : max};

    input->p += taken.len;
    input->len -= taken.len;
    return taken;
}

char *
fuzz_take_text(struct slice *input)
{
    const char *nul = input->len > 0 ? memchr(input->p, '\0', input->len) : NULL;
    size_t len = nul != NULL ? (size_t)(nul - input->p) : input->len;
    char *text = malloc(len + 1);

    MUST(text != NULL);
    memcpy(text, input->p, len);
    text[len] = '\0';
    fuzz_take_bytes(input, nul != NULL ? len + 1 : len);
    return text;
}

/* The decoder's variables, named as in the standard. */
struct decoder {
    int bytes_seen;
    int bytes_needed;
    uint8_t lower_boundary;
    uint8_t upper_boundary;
    char
        sequence[4]; /* the bytes of the code point so far: to be written out as they are */
};

static void
reset(struct decoder *decoder)
{
    *decoder = (struct decoder){.lower_boundary = 0x80, .upper_boundary = 0xBF};
}

static void
decode_lead(struct decoder *decoder, struct buf *out, uint8_t byte)
{
    if (byte <= 0x7F) {
        buf_append(out, &byte, 1);
        return;
    }
    if (byte >= 0xC2 && byte <= 0xDF) {
        decoder->bytes_needed = 1;
    } else if (byte >= 0xE0 && byte <= 0xEF) {
        if (byte == 0xE0)
            decoder->lower_boundary = 0xA0;
        if (byte == 0xED)
            decoder->upper_boundary = 0x9F;
        decoder->bytes_needed = 2;
    } else if (byte >= 0xF0 && byte <= 0xF4) {
        if (byte == 0xF0)
            decoder->lower_boundary = 0x90;
        if (byte == 0xF4)
            decoder->upper_boundary = 0x8F;
        decoder->bytes_needed = 3;
    } else {
        buf_append_text(out, "\xEF\xBF\xBD");
        return;
    }
    decoder->sequence[0] = (char)byte;
}

void
fuzz_decode_utf8(struct buf *out, struct slice bytes)
{
    struct decoder decoder;

    reset(&decoder);
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t byte = (uint8_t)bytes.p[i];
        if (decoder.bytes_needed == 0) {
            decode_lead(&decoder, out, byte);
            continue;
        }
        if (byte < decoder.lower_boundary || byte > decoder.upper_boundary) {
            reset(&decoder);
            buf_append_text(out, "\xEF\xBF\xBD");
            i--; /* "restore byte to ioQueue" */
            continue;
        }
        decoder.lower_boundary = 0x80;
        decoder.upper_boundary = 0xBF;
        decoder.sequence[++decoder.bytes_seen] = (char)byte;
        if (decoder.bytes_seen == decoder.bytes_needed) {
            buf_append(out, decoder.sequence, (size_t)decoder.bytes_seen + 1);
            reset(&decoder);
        }
    }
    if (decoder.bytes_needed != 0)
        buf_append_text(out, "\xEF\xBF\xBD");
}
