/* replay_main.c - runs a fuzz target over files, without libFuzzer: `make check` replays the
 * seeds so, and `fuzz_event FILE...` a crash. Without arguments it takes the directory of
 * seeds, which goes by the program's name. Prints TAP; a crash leaves the plan out. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_MAX (1 << 20)

static int case_count;

static void
run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *input = malloc(INPUT_MAX);

    MUST(file != NULL && input != NULL);
    size_t size = fread(input, 1, INPUT_MAX, file);
    fclose(file);
    printf("# %s\n", path);
    fflush(stdout);

    /* An allocation of just that size, so that AddressSanitizer sees a read past its end. */
    uint8_t *exact = malloc(size + (size == 0));
    MUST(exact != NULL);
    memcpy(exact, input, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(input);

    const char *name = strrchr(path, '/');
    printf("ok %d - %s\n", ++case_count, name != NULL ? name + 1 : path);
}

static void
run_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            run_file(file);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

/* Returns -1 when there is nothing at the path. */
static int
run_path(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    if (S_ISDIR(status.st_mode))
        run_directory(path);
    else
        run_file(path);
    return 0;
}

/* "tests/fuzz/fuzz_event" has its seeds in $srcdir/tests/fuzz/corpus/event. */
static int
run_seeds(const char *program)
{
    const char *srcdir = getenv("srcdir");
    const char *slash = strrchr(program, '/');
    const char *name = slash != NULL ? slash + 1 : program;
    char path[4096];

    if (strncmp(name, "fuzz_", 5) == 0)
        name += 5;
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".",
             name);
    return run_path(path);
}

int
main(int argc, char **argv)
{
    int result = 0;

    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    if (argc < 2)
        result = run_seeds(argv[0]);
    for (int i = 1; i < argc; i++)
        result |= run_path(argv[i]);
    printf("1..%d\n", case_count);
    return result == 0 && case_count > 0 ? 0 : 1;
}
