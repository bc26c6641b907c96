/* test_seccomp.c - the system calls that serve gives up, each tried in a child, and those that it
 * needs. */
#include "config.h"

#include "serve/sandbox.h"

#include "child.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define TEST_NAME "seccomp"

#define REFUSED(call) ((call) == -1 && errno == EPERM)

static int
enter(void)
{
    struct error error = {""};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return sandbox_filter_calls(&error);
}

static int
child_is_refused(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(1, enter() == 1);
#ifndef __SANITIZE_ADDRESS__
    TRY(2, REFUSED(execl("/bin/true", "true", (char *)NULL)));
    TRY(3, REFUSED(syscall(SYS_execveat, -1, "/bin/true", NULL, NULL, 0)));
    TRY(4, REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL)));
#endif
    TRY(5, REFUSED(syscall(425, 1, NULL))); /* io_uring_setup */
    TRY(6, REFUSED(unshare(CLONE_NEWUSER)));
    TRY(7, REFUSED(setns(0, 0)));
    TRY(8, REFUSED(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0)));
    TRY(9, syscall(435, NULL, 0) == -1 && errno == ENOSYS); /* clone3 */
    TRY(10, REFUSED(socket(AF_PACKET, SOCK_RAW, 0)));
    TRY(11, REFUSED(socket(AF_NETLINK, SOCK_RAW, 0)));
    TRY(12, REFUSED(socket(AF_INET, SOCK_STREAM, 0)));
    TRY(13, REFUSED(bind(sock, (struct sockaddr *)&name, sizeof name)));
    TRY(14, REFUSED(listen(sock, 1)));
    TRY(15, REFUSED(syscall(SYS_bpf, 0, NULL, 0)));
    TRY(16, REFUSED(chroot("/")));
    return 0;
}

static void *
thread(void *arg)
{
    *(int *)arg = 1;
    return NULL;
}

static int
child_goes_on(void)
{
    pthread_t id;
    sqlite3 *db = NULL;
    int pair[2];
    int ran = 0;
    TRY(1, enter() == 1);
    TRY(2, pthread_create(&id, NULL, thread, &ran) == 0 && pthread_join(id, NULL) == 0);
    TRY(3, ran == 1);
    TRY(4, socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && write(pair[0], "x", 1) == 1);
    TRY(5, socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
    TRY(6, sqlite3_open(":memory:", &db) == SQLITE_OK);
    TRY(7, sqlite3_exec(db, "CREATE TABLE foo(bar)", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    int status = 0;
    TRY(8, pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
    return 0;
}

static int
child_enters_twice(void)
{
    TRY(1, enter() == 1);
    TRY(2, enter() == 1);
    return 0;
}

static void
test_what_it_never_does_is_refused(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_is_refused), 0);
}

static void
test_what_it_does_goes_on(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_goes_on), 0);
}

static void
test_once_more_is_no_harm(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_enters_twice), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_never_does_is_refused),
        cmocka_unit_test(test_what_it_does_goes_on),
        cmocka_unit_test(test_once_more_is_no_harm),
    };

#if defined __x86_64__ || defined __aarch64__
    return RUN(tests);
#else
    (void)tests;
    printf("1..0 # no filter for this architecture\n");
    return 0;
#endif
}
