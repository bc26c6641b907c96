/* fuzz.h - what the fuzz targets share: assertions that stay on, and taking input apart.
 *
 * Each fuzz_*.c holds one LLVMFuzzerTestOneInput. `make fuzz` links it with libFuzzer, `make
 * check` with replay_main.c, which runs it over the seeds in corpus/. */
#ifndef ROWCAST_TESTS_FUZZ_H
#define ROWCAST_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As assert, but not to be switched off. */
#define MUST(condition)                                                                    \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* Take from the front of *input; what is missing reads as 0, or as an empty slice. */
uint8_t fuzz_take_byte(struct slice *input);
int64_t fuzz_take_int(struct slice *input);
struct slice fuzz_take_bytes(struct slice *input, size_t max);

/* Up to the next NUL, which is dropped, as a string that the caller frees. */
char *fuzz_take_text(struct slice *input);

/* What the Encoding standard's UTF-8 decoder (section 8.1.1) makes of the bytes, as UTF-8. Not
 * the code under test: the standard's state machine, step by step. Append to `out`. */
void fuzz_decode_utf8(struct buf *out, struct slice bytes);

#endif
