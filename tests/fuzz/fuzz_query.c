/* fuzz_query.c - any QUERY_STRING, with each representation. Input: one byte that picks Accept,
 * then the query string. */
#include "config.h"

#include "check_request.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const accepts[] = {"HTTP_ACCEPT=text/event-stream",
                                          "HTTP_ACCEPT=application/json",
                                          "HTTP_ACCEPT=application/x-ndjson"};
    struct slice input = {(const char *)data, size};
    struct buf query = {0};

    if (size == 0)
        return 0;
    const char *accept = accepts[fuzz_take_byte(&input) % 3];
    char *text = fuzz_take_text(&input);
    buf_printf(&query, "QUERY_STRING=%s", text);
    buf_append(&query, "", 1);
    MUST(!query.failed);
    check_request((const char *const[]){"REQUEST_METHOD=GET", accept, query.p, NULL});
    buf_fini(&query);
    free(text);
    return 0;
}
