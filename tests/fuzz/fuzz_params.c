/* fuzz_params.c - any set of CGI parameters. Input: "NAME=value" strings parted by NUL. */
#include "config.h"

#include "check_request.h"
#include "fuzz.h"

#define PARAMS_MAX 64

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    char *texts[PARAMS_MAX];
    const char *envp[PARAMS_MAX + 1];
    size_t count = 0;

    while (input.len > 0 && count < PARAMS_MAX) {
        texts[count] = fuzz_take_text(&input);
        envp[count] = texts[count];
        count++;
    }
    envp[count] = NULL;
    check_request(envp);
    while (count > 0)
        free(texts[--count]);
    return 0;
}
