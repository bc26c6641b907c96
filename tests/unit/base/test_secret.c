/* test_secret.c - memory of keys is not in a core dump. */
#include "config.h"

#include "base/secret.h"

#include "../unit.h"

#define TEST_NAME "secret"

/* The kernel's flags of the mapping that p is in (proc(5), VmFlags of smaps). */
static bool
has_flag(const void *p, const char *flag)
{
    char line[512];
    bool is_here = false;
    bool found = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            is_here = begin <= (unsigned long)p && (unsigned long)p < end;
        if (is_here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    fclose(maps);
    return found;
}

static void
test_a_copy_is_left_out_of_core_dumps(void **state)
{
    (void)state;
    char *secret = secret_copy(slice_of("a secret of some length"));
    char *other = malloc(100);
    assert_string_equal(secret, "a secret of some length");
    assert_true(has_flag(secret, " dd"));
    assert_false(has_flag(other, " dd"));
    free(other);
    secret_free(secret, strlen(secret));
    secret = secret_copy((struct slice){NULL, 0});
    assert_string_equal(secret, "");
    secret_free(secret, 0);
    secret_free(NULL, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_copy_is_left_out_of_core_dumps),
    };

    return RUN(tests);
}
