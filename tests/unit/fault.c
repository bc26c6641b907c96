/* fault.c - see fault.h. */
#include "config.h"

#include "fault.h"

#include <errno.h>
#include <stddef.h>

/* A library's interposed symbols have no better way to keep their state. */
static struct {
    unsigned long first, last; /* these fail; 0: none */
    unsigned long count;
    bool counting;
} fault;

void
fault_arm(unsigned long nth, unsigned long more)
{
    fault.first = nth;
    fault.last = nth + more;
    fault.count = 0;
    fault.counting = false;
}

void
fault_resume(void)
{
    fault.counting = true;
}

void
fault_pause(void)
{
    fault.counting = false;
}

unsigned long
fault_disarm(void)
{
    fault.first = fault.last = 0;
    fault.counting = false;
    return fault.count;
}

static bool
is_due(void)
{
    if (!fault.counting)
        return false;
    fault.count++;
    if (fault.count < fault.first || fault.count > fault.last)
        return false;
    errno = ENOMEM;
    return true;
}

/* The linker's names (ld(1), --wrap): the program calls __wrap_x where it says x, and here
 * __real_x is what the C library, or AddressSanitizer, has. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t max);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);

void *
__wrap_malloc(size_t size)
{
    return is_due() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return is_due() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
    return is_due() ? NULL : __real_realloc(p, size);
}

char *
__wrap_strdup(const char *text)
{
    return is_due() ? NULL : __real_strdup(text);
}

char *
__wrap_strndup(const char *text, size_t max)
{
    return is_due() ? NULL : __real_strndup(text, max);
}

/* lsan_interface.h; there only where the sanitizer is. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

bool
fault_leaks_nothing(void)
{
    return __lsan_do_recoverable_leak_check == NULL ||
           __lsan_do_recoverable_leak_check() == 0;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
