/* secret.c - a core dump (coredumpctl, a bug report) may be read by more people than a key file.
 *
 * Called by access/keys.c for the keys of a key file. OpenSSL's own copies of a key are not in this
 * memory. All other memory stays in the dump, so that it can explain a crash. */
#include "config.h"

#include "base/secret.h"

#include <string.h>
#include <sys/mman.h>

char *
secret_copy(struct slice text)
{
    char *copy = mmap(NULL, text.len + 1, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return NULL;
#ifdef MADV_DONTDUMP
    madvise(copy, text.len + 1, MADV_DONTDUMP);
#endif
    if (text.len > 0)
        memcpy(copy, text.p, text.len);
    return copy; /* new pages are zero, so the text ends in NUL */
}

void
secret_free(char *secret, size_t len)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, len);
    munmap(secret, len + 1);
}
