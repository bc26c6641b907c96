/* child.h - tries of what a confined process can do: each in a child, as nothing gives rights
 * back. */
#ifndef ROWCAST_TEST_CHILD_H
#define ROWCAST_TEST_CHILD_H

#include <sys/wait.h>
#include <unistd.h>

#include "../unit.h"

/* Ends the child's function with the number of the try that went wrong. */
#define TRY(number, condition)                                                             \
    do {                                                                                   \
        if (!(condition))                                                                  \
            return number;                                                                 \
    } while (0)

/* Returns the child's exit status: 0, or the number of the try. */
typedef int (*child_fn)(void);

static inline int
in_child(child_fn child)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#endif
