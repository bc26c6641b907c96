/* test_listen.c - listening sockets: addresses good and bad, the Unix socket's file, inherited
 * ones. Each test has a folder of its own; ports are the kernel's choice. */
#include "config.h"

#include "fastcgi/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../peer.h"

#include "../folder.h"
#include "../unit.h"

#define TEST_NAME "listen"

struct bench {
    char folder[64];
    char path[80];    /* of a socket that is not there yet */
    char address[96]; /* unix:PATH */
    size_t descriptors;
    struct listeners listeners;
    struct error error;
};

static int
bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);

    if (folder_make(bench->folder, "listen") != 0)
        return -1;
    snprintf(bench->path, sizeof bench->path, "%s/socket", bench->folder);
    snprintf(bench->address, sizeof bench->address, "unix:%s", bench->path);
    bench->descriptors = peer_count_descriptors();
    *state = bench;
    return 0;
}

static int
bench_teardown(void **state)
{
    struct bench *bench = *state;
    int result = bench->descriptors == peer_count_descriptors() ? 0 : -1;

    folder_remove(bench->folder);
    free(bench);
    return result;
}

static void
open_at(struct bench *bench, const char *address, mode_t mode)
{
    CHECK(listeners_open(&bench->listeners, address, mode, &bench->error) == 0, "%s: %s\n",
          address, bench->error.text);
}

static void
check_fails(struct bench *bench, const char *address, int result, const char *says)
{
    struct listeners listeners;

    bench->error.text[0] = '\0';
    CHECK(listeners_open(&listeners, address, 0600, &bench->error) == result, "%s\n",
          address);
    CHECK(strstr(bench->error.text, says) != NULL, "%s: %s\n", address, bench->error.text);
    assert_int_equal(listeners.count, 0);
}

static void
check_refused(struct bench *bench, const char *address, const char *says)
{
    check_fails(bench, address, -1, says);
}

/* As check_refused, where the command line is to blame. */
static void
check_usage(struct bench *bench, const char *address, const char *says)
{
    check_fails(bench, address, LISTEN_USAGE, says);
}

static bool
exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* rmdir(2) is the judge. */
static bool
folder_is_empty(const struct bench *bench)
{
    return rmdir(bench->folder) == 0 && mkdir(bench->folder, 0700) == 0;
}

/* Connects as a web server does and sees that the listener gets it. */
static void
check_connects(const struct listeners *listeners, int i)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int fd = listeners->fds[i];

    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    int client = socket(address.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, len), 0);
    int conn;
    while ((conn = accept(fd, NULL, NULL)) < 0 && errno == EAGAIN)
        usleep(1000);
    assert_true(conn >= 0);
    close(conn);
    close(client);
}

static void
check_flags(int fd)
{
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

/* --- Unix sockets --------------------------------------------------------------------- */

static void
test_a_unix_socket_accepts_and_is_removed_at_the_end(void **state)
{
    struct bench *bench = *state;
    char name[160];

    assert_true(folder_is_empty(bench));
    open_at(bench, bench->address, 0660);
    assert_int_equal(bench->listeners.count, 1);
    check_flags(bench->listeners.fds[0]);
    check_connects(&bench->listeners, 0);
    assert_string_equal(listeners_name(&bench->listeners, 0, name, sizeof name),
                        bench->address);
    listeners_close(&bench->listeners);
    assert_true(folder_is_empty(bench)); /* no lock either */
    listeners_close(&bench->listeners);  /* once more does no harm */
}

static void
test_the_mode_is_what_was_asked_for_whatever_the_umask(void **state)
{
    static const mode_t modes[] = {0600, 0660, 0666, 0777, 0};
    static const mode_t umasks[] = {0, 022, 077, 0777};
    struct bench *bench = *state;
    struct stat st;

    for (size_t i = 0; i < COUNT(modes) * COUNT(umasks); i++) {
        mode_t before = umask(umasks[i / COUNT(modes)]);
        open_at(bench, bench->address, modes[i % COUNT(modes)]);
        mode_t after = umask(before);
        assert_int_equal(after, umasks[i / COUNT(modes)]); /* left as it was */
        assert_int_equal(stat(bench->path, &st), 0);
        assert_true(S_ISSOCK(st.st_mode));
        assert_int_equal(st.st_mode & 0777, modes[i % COUNT(modes)]);
        listeners_close(&bench->listeners);
    }
}

static int
bind_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void
test_a_stale_socket_is_replaced(void **state)
{
    struct bench *bench = *state;

    close(bind_unix(bench->path)); /* its process has died */
    assert_true(exists(bench->path));
    open_at(bench, bench->address, 0600);
    check_connects(&bench->listeners, 0);
    listeners_close(&bench->listeners);
    assert_false(exists(bench->path));
}

static void
test_a_live_socket_of_another_program_is_refused_and_kept(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int other = bind_unix(bench->path);

    assert_int_equal(listen(other, 1), 0);
    check_refused(bench, bench->address, "in use by another process");
    check_refused(bench, bench->address, "in use by another process"); /* backlog is full */
    strcpy(address.sun_path, bench->path);
    assert_true(exists(bench->path));
    close(other);
}

static void
test_a_second_rowcast_is_refused_and_takes_nothing_away(void **state)
{
    struct bench *bench = *state;

    open_at(bench, bench->address, 0600);
    check_refused(bench, bench->address, "in use by another rowcast");
    check_connects(&bench->listeners, 0);
    listeners_close(&bench->listeners);
    open_at(bench, bench->address, 0600); /* and the place is free again */
    listeners_close(&bench->listeners);
}

/* Opens and closes the socket again and again. Returns 1 when it once had it together with
 * another process. */
static int
contend(const struct bench *bench, int rounds)
{
    char marker[128];
    int breaches = 0;

    snprintf(marker, sizeof marker, "%s/marker", bench->folder);
    while (rounds-- > 0) {
        struct listeners listeners;
        if (listeners_open(&listeners, bench->address, 0600, NULL) != 0)
            continue;
        int fd = open(marker, O_CREAT | O_EXCL | O_WRONLY, 0600);
        breaches += fd < 0;
        close(fd);
        unlink(marker);
        listeners_close(&listeners);
    }
    return breaches > 0;
}

static void
test_of_many_that_start_at_once_only_one_gets_the_socket(void **state)
{
    struct bench *bench = *state;
    pid_t children[4];

    for (size_t i = 0; i < COUNT(children); i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(contend(bench, 1500));
    }
    for (size_t i = 0; i < COUNT(children); i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    open_at(bench, bench->address, 0600);
    listeners_close(&bench->listeners);
}

static void
test_what_is_no_socket_is_not_removed(void **state)
{
    struct bench *bench = *state;
    int fd = open(bench->path, O_CREAT | O_WRONLY, 0600);

    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    check_refused(bench, bench->address, "is not a socket");
    assert_true(exists(bench->path));
    unlink(bench->path);
    assert_int_equal(symlink("/nowhere", bench->path), 0);
    check_refused(bench, bench->address, "is not a socket");
    unlink(bench->path);
    assert_true(folder_is_empty(bench));
    assert_int_equal(mkdir(bench->path, 0700), 0);
    check_refused(bench, bench->address, "is not a socket");
    assert_true(exists(bench->path));
}

static void
test_paths_that_cannot_be(void **state)
{
    struct bench *bench = *state;
    char address[256];

    check_usage(bench, "unix:", "1 to 107 bytes");
    snprintf(address, sizeof address, "unix:%s/nowhere/socket", bench->folder);
    check_refused(bench, address, "cannot create");

    int len = snprintf(address, sizeof address, "unix:%s/", bench->folder);
    memset(address + len, 'x', sizeof address - (size_t)len);
    address[5 + 108] = '\0';
    check_usage(bench, address, "1 to 107 bytes");
    address[5 + 107] = '\0'; /* the longest one that there can be */
    open_at(bench, address, 0600);
    check_connects(&bench->listeners, 0);
    listeners_close(&bench->listeners);
    assert_false(exists(address + 5));
}

/* --- TCP ------------------------------------------------------------------------------------ */

static void
test_tcp_addresses_accept(void **state)
{
    static const char *const addresses[][2] = {{"127.0.0.1:0", "127.0.0.1:"},
                                               {"[::1]:0", "[::1]:"},
                                               {"0.0.0.0:0", "0.0.0.0:"},
                                               {"[::]:0", "[::]:"},
                                               {"localhost:0", ""}};
    struct bench *bench = *state;
    char name[160];

    for (size_t i = 0; i < COUNT(addresses); i++) {
        open_at(bench, addresses[i][0], 0600);
        assert_in_range(bench->listeners.count, 1, LISTEN_SOCKETS_MAX);
        for (int k = 0; k < bench->listeners.count; k++) {
            check_flags(bench->listeners.fds[k]);
            check_connects(&bench->listeners, k);
            listeners_name(&bench->listeners, k, name, sizeof name);
            CHECK(strncmp(name, addresses[i][1], strlen(addresses[i][1])) == 0, "%s\n",
                  name);
        }
        listeners_close(&bench->listeners);
        assert_int_equal(bench->listeners.count, 0);
    }
}

/* The same port for both: so a v6 socket must not take v4's connections. */
static void
test_v6_leaves_v4_its_port(void **state)
{
    struct bench *bench = *state;
    struct listeners second;
    char name[160];
    char address[64];

    open_at(bench, "[::]:0", 0600);
    listeners_name(&bench->listeners, 0, name, sizeof name);
    snprintf(address, sizeof address, "0.0.0.0%s", strrchr(name, ':'));
    CHECK(listeners_open(&second, address, 0600, &bench->error) == 0, "%s\n",
          bench->error.text);
    check_connects(&second, 0);
    listeners_close(&second);
    listeners_close(&bench->listeners);
}

static void
test_a_port_in_use_is_refused_and_free_again_at_once(void **state)
{
    struct bench *bench = *state;
    char name[160];

    open_at(bench, "127.0.0.1:0", 0600);
    check_connects(&bench->listeners, 0);
    listeners_name(&bench->listeners, 0, name, sizeof name);
    check_refused(bench, name, "cannot listen on 127.0.0.1:");
    check_refused(bench, name, strerror(EADDRINUSE));
    listeners_close(&bench->listeners);
    open_at(bench, name, 0600); /* TIME_WAIT or not */
    listeners_close(&bench->listeners);
}

static void
test_addresses_that_are_none(void **state)
{
    static const char *const bad[] = {"",
                                      ":",
                                      ":80",
                                      "80",
                                      "localhost",
                                      "localhost:",
                                      "127.0.0.1:x",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:+1",
                                      "127.0.0.1: 1",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:99999999999999999999",
                                      "127.0.0.1:80x",
                                      "::1:80",
                                      "::1",
                                      "[::1]",
                                      "[::1]80",
                                      "[]:80",
                                      "[::1:80",
                                      "unix",
                                      "Unix:/tmp/x",
                                      "/tmp/socket"};
    struct bench *bench = *state;
    char address[400];

    for (size_t i = 0; i < COUNT(bad); i++)
        check_usage(bench, bad[i], "is not unix:PATH, HOST:PORT or [V6]:PORT");
    memset(address, 'h', sizeof address);
    strcpy(address + sizeof address - 4, ":80");
    check_usage(bench, address, "is not unix:PATH");
    check_refused(bench, "no such host:80", "cannot resolve");
    check_refused(bench, "[127.0.0.1.1]:80", "cannot resolve");
    check_refused(bench, "192.0.2.1:0", "cannot listen"); /* TEST-NET-1: not ours */
}

/* --- inherited ------------------------------------------------------------------------ */

/* Puts a descriptor in the place of another for a moment. */
static int
displace(int fd, int place)
{
    int kept = fcntl(place, F_DUPFD_CLOEXEC, 100);

    assert_int_equal(dup2(fd, place), place);
    return kept;
}

static void
put_back(int kept, int place)
{
    close(place);
    if (kept >= 0) {
        dup2(kept, place);
        close(kept);
    }
}

static int
listening_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void
test_a_listening_socket_on_stdin_is_taken_over(void **state)
{
    struct bench *bench = *state;
    int fd = listening_socket();
    int kept = displace(fd, STDIN_FILENO);

    close(fd);
    int found = listeners_inherit(&bench->listeners, &bench->error);
    int first = bench->listeners.count == 1 ? bench->listeners.fds[0] : -1;
    if (first == STDIN_FILENO) {
        check_flags(STDIN_FILENO);
        check_connects(&bench->listeners, 0);
        listeners_close(&bench->listeners);
    }
    put_back(kept, STDIN_FILENO);
    assert_int_equal(found, 1);
    assert_int_equal(first, STDIN_FILENO);
}

static void
test_any_other_stdin_is_no_listening_socket(void **state)
{
    struct bench *bench = *state;
    int pair[2];
    int pipe_ends[2];
    int found[3];

    peer_socketpair(pair, 4096);
    assert_int_equal(pipe(pipe_ends), 0);
    int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    const int fds[3] = {pair[0], pipe_ends[0], datagram};
    for (size_t i = 0; i < COUNT(fds); i++) {
        int kept = displace(fds[i], STDIN_FILENO);
        found[i] = listeners_inherit(&bench->listeners, &bench->error);
        put_back(kept, STDIN_FILENO);
    }
    close(pair[0]);
    close(pair[1]);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    close(datagram);
    for (size_t i = 0; i < COUNT(fds); i++)
        assert_int_equal(found[i], 0);
}

#ifdef HAVE_SYSTEMD
static int
inherit_from_systemd(struct bench *bench, int first, int second)
{
    char pid[16];
    int kept[2] = {displace(first, 3), displace(second, 4)};

    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "2", 1);
    int found = listeners_inherit(&bench->listeners, &bench->error);
    if (found == 2) {
        check_flags(3);
        check_connects(&bench->listeners, 0);
        check_connects(&bench->listeners, 1);
    }
    listeners_close(&bench->listeners);
    put_back(kept[0], 3);
    put_back(kept[1], 4);
    return found;
}

/* Descriptors 3 and 4 may be the test's own: all of it happens above them. */
static void
test_sockets_of_systemd_are_taken_over(void **state)
{
    struct bench *bench = *state;
    int low[8];
    for (size_t i = 0; i < COUNT(low); i++)
        low[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int a = listening_socket();
    int b = listening_socket();
    int plain = open("/dev/null", O_RDONLY | O_CLOEXEC);

    int both = inherit_from_systemd(bench, a, b);
    const char *unset = getenv("LISTEN_FDS");
    int bad = inherit_from_systemd(bench, a, plain);
    close(a);
    close(b);
    close(plain);
    for (size_t i = 0; i < COUNT(low); i++)
        close(low[i]);
    assert_int_equal(both, 2);
    assert_null(unset); /* children must not take them for theirs */
    assert_int_equal(bad, -1);
    CHECK(strstr(bench->error.text, "descriptor 4 is not a listening") != NULL, "%s\n",
          bench->error.text);
}
#endif

/* --- descriptors ---------------------------------------------------------------------- */

static void
test_the_limit_of_descriptors_is_raised_as_far_as_allowed(void **state)
{
    struct rlimit before;
    struct rlimit after;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = 200, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    unsigned allowed = listen_raise_descriptors();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(after.rlim_cur == after.rlim_max);
    assert_true(allowed == after.rlim_cur || allowed == 1048576);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_unix_socket_accepts_and_is_removed_at_the_end),
        TEST(test_the_mode_is_what_was_asked_for_whatever_the_umask),
        TEST(test_a_stale_socket_is_replaced),
        TEST(test_a_live_socket_of_another_program_is_refused_and_kept),
        TEST(test_a_second_rowcast_is_refused_and_takes_nothing_away),
        TEST(test_of_many_that_start_at_once_only_one_gets_the_socket),
        TEST(test_what_is_no_socket_is_not_removed),
        TEST(test_paths_that_cannot_be),
        TEST(test_tcp_addresses_accept),
        TEST(test_v6_leaves_v4_its_port),
        TEST(test_a_port_in_use_is_refused_and_free_again_at_once),
        TEST(test_addresses_that_are_none),
        TEST(test_a_listening_socket_on_stdin_is_taken_over),
        TEST(test_any_other_stdin_is_no_listening_socket),
#ifdef HAVE_SYSTEMD
        TEST(test_sockets_of_systemd_are_taken_over),
#endif
        TEST(test_the_limit_of_descriptors_is_raised_as_far_as_allowed),
    };

    return RUN(tests);
}
