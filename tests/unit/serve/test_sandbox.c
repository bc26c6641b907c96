/* test_sandbox.c - what a confined process can do and what it cannot, each try in a child. */
#include "config.h"

#include "serve/sandbox.h"

#include "child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define TEST_NAME "confine"

/* A build with sanitizers leaves reading and executing, see serve/sandbox.c. */
#ifdef __SANITIZE_ADDRESS__
#define READING 0
#else
#define READING EACCES
#endif

static char folder[] = "/tmp/rowcast-confine.XXXXXX";

/* In the folder: own/db, own/other, link -> own/db, far/file, sockets/path. */
static void
make_files(void)
{
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(mkdir("own", 0700) | mkdir("far", 0700) | mkdir("sockets", 0700), 0);
    static const char *const files[] = {"own/db", "own/other", "far/file", "sockets/path",
                                        "sockets/other"};
    for (size_t i = 0; i < COUNT(files); i++) {
        int fd = open(files[i], O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
    }
    assert_int_equal(symlink("own/db", "link"), 0);
}

static int
try_open(const char *path, int flags)
{
    int fd = open(path, flags, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int
try_connect(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    return result == 0 ? 0 : errno;
}

static const struct sockaddr_un abstract = {.sun_family = AF_UNIX,
                                            .sun_path = "\0rowcast-test"};

/* To the socket that the test listens on. */
static int
try_abstract(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int result = connect(fd, (const struct sockaddr *)&abstract, sizeof abstract);
    int error = errno;
    close(fd);
    return result == 0 ? 0 : error;
}

static int
enter(const char *database)
{
    const struct sandbox_rule rules[] = {{database, SANDBOX_WRITE_BESIDE},
                                         {"sockets/path", SANDBOX_REMOVE_BESIDE},
                                         {"/dev/null", SANDBOX_READ},
                                         {"no/such/file", SANDBOX_READ_BESIDE},
                                         {NULL, SANDBOX_READ}};
    struct error error = {""};
    int version = sandbox_enter(rules, COUNT(rules), &error);
    if (version < 0)
        print_error("%s\n", error.text);
    return version;
}

/* The kernel here, asked by ourselves. */
static long
kernel_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

static int
child_works_beside(void)
{
    TRY(1, enter("own/db") > 0);
    TRY(2, try_open("own/db", O_RDWR) == 0);
    TRY(3, try_open("own/db-wal", O_RDWR | O_CREAT) == 0);
    TRY(4, try_open("own", O_RDONLY | O_DIRECTORY) == 0);
    TRY(5, try_open("own/db", O_WRONLY | O_TRUNC) == 0);
    TRY(6, unlink("own/db-wal") == 0);
    TRY(7, unlink("own/db") == 0 && try_open("own/db", O_RDWR | O_CREAT) == 0);
    TRY(8, unlink("sockets/path") == 0);
    TRY(9, try_open("/dev/null", O_RDONLY) == 0);
    return 0;
}

static int
child_cannot_elsewhere(void)
{
    struct stat st;
    TRY(1, enter("own/db") > 0);
    TRY(2, try_open("far/file", O_RDONLY) == READING);
    TRY(3, try_open("far/file", O_WRONLY) == EACCES);
    TRY(4, try_open("far/new", O_WRONLY | O_CREAT) == EACCES);
    TRY(5, unlink("far/file") != 0 && errno == EACCES);
    TRY(6, try_open("/etc/passwd", O_RDONLY) == READING);
    TRY(7, try_open("/etc", O_RDONLY | O_DIRECTORY) == READING);
    TRY(8, try_open("sockets/other", O_RDONLY) == READING);
    TRY(9, try_open("sockets/new", O_WRONLY | O_CREAT) == EACCES);
    TRY(10, try_open("/dev/null", O_WRONLY) == EACCES);
    if (READING != 0)
        TRY(11, execl("/bin/true", "true", (char *)NULL) != 0 && errno == EACCES);
    TRY(12, mkdir("own/folder", 0700) != 0 && errno == EACCES);
    TRY(13, symlink("/etc/passwd", "own/away") != 0 && errno == EACCES);
    TRY(14, link("far/file", "own/linked") != 0);
    TRY(15, rename("far/file", "own/moved") != 0);
    TRY(16, stat("far/file", &st) == 0); /* which Landlock leaves */
    TRY(17, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    return 0;
}

static int
child_has_no_network_nor_signals(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    long version = kernel_version();
    int before = try_connect();
    TRY(1, before == ECONNREFUSED);
    TRY(8, try_abstract() == 0);
    TRY(2, enter("own/db") > 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (version >= 4) {
        TRY(3, try_connect() == EACCES);
        TRY(4, bind(fd, (struct sockaddr *)&any, sizeof any) != 0 && errno == EACCES);
    }
    if (version >= 6) {
        TRY(5, kill(getppid(), 0) != 0 && errno == EPERM);
        TRY(7, try_abstract() == EPERM);
    }
    TRY(6, kill(getpid(), 0) == 0);
    return 0;
}

static int
child_keeps_an_abstract_notify_socket(void)
{
    setenv("NOTIFY_SOCKET", "@rowcast-test", 1);
    TRY(1, enter("own/db") > 0);
    TRY(2, try_abstract() == 0);
    return 0;
}

static int
child_follows_its_link(void)
{
    TRY(1, enter("link") > 0);
    TRY(2, try_open("link", O_RDWR) == 0);
    TRY(3, try_open("own/db-wal", O_RDWR | O_CREAT) == 0);
    TRY(4, unlink("link") == 0); /* its own folder, too: a file may come in its place */
    TRY(5, try_open("link", O_RDWR | O_CREAT) == 0);
    return 0;
}

static int
child_is_confined_twice(void)
{
    for (int i = 0; i < 5; i++)
        TRY(i + 1, enter("own/db") > 0);
    TRY(6, try_open("own/db", O_RDWR) == 0);
    return 0;
}

static void
test_it_works_beside_its_files(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_works_beside), 0);
}

static void
test_it_cannot_do_anything_elsewhere(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_cannot_elsewhere), 0);
}

static void
test_it_has_neither_network_nor_signals(void **state)
{
    (void)state;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&abstract, sizeof abstract), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(in_child(child_has_no_network_nor_signals), 0);
    assert_int_equal(in_child(child_keeps_an_abstract_notify_socket), 0);
    close(fd);
}

static void
test_a_link_is_followed(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_follows_its_link), 0);
}

static void
test_once_more_is_no_harm(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_is_confined_twice), 0);
}

/* --- kernels without it --------------------------------------------------------------- */

/* From now on the first of Landlock's calls fails with that error. */
static void
refuse_landlock(unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* seccomp_data.nr */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(100);
}

static int
child_without(unsigned error)
{
    refuse_landlock(error);
    TRY(1, enter("own/db") == 0);
    TRY(2, try_open("far/file", O_RDWR) == 0);
    TRY(3, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    return 0;
}

static int
child_no_such_call(void)
{
    return child_without(ENOSYS);
}

static int
child_switched_off(void)
{
    return child_without(EOPNOTSUPP);
}

static int
child_forbidden(void)
{
    return child_without(EPERM);
}

static void
test_a_kernel_without_it_is_fine(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_no_such_call), 0);
    assert_int_equal(in_child(child_switched_off), 0);
    assert_int_equal(in_child(child_forbidden), 0);
}

static void
remove_files(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(system(command), 0);
}

int
main(void)
{
    const struct CMUnitTest with[] = {
        cmocka_unit_test(test_it_works_beside_its_files),
        cmocka_unit_test(test_it_cannot_do_anything_elsewhere),
        cmocka_unit_test(test_it_has_neither_network_nor_signals),
        cmocka_unit_test(test_a_link_is_followed),
        cmocka_unit_test(test_once_more_is_no_harm),
        cmocka_unit_test(test_a_kernel_without_it_is_fine),
    };
    const struct CMUnitTest without[] = {
        cmocka_unit_test(test_a_kernel_without_it_is_fine)};

    make_files();
    /* Of a kernel that has none only this can be seen. */
    int failed = kernel_version() > 0 ? RUN(with) : RUN(without);
    remove_files();
    return failed;
}
