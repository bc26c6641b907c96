/* test_log_sink.c - the descriptors that log lines go to: full ones, files that are rotated,
 * the journal's stream. What a daemon's socket does is in logs.bats. */
#include "config.h"

#include "base/log.h"
#include "base/log_sink.h"

#include "../folder.h"
#include "../unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST_NAME "logto"

/* A folder with a log in it. */
struct place {
    char folder[64];
    char path[80], moved[80];
};

static void
place_make(struct place *place)
{
    assert_int_equal(folder_make(place->folder, "logto"), 0);
    snprintf(place->path, sizeof place->path, "%s/log", place->folder);
    snprintf(place->moved, sizeof place->moved, "%s/log.1", place->folder);
}

static void
place_remove(const struct place *place)
{
    folder_remove(place->folder);
}

static off_t
size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* --- full ----------------------------------------------------------------------------------- */

/* Returns what was taken before the first refusal; fails when there is none. */
static size_t
fill(const struct log_sink_out *out)
{
    static const char line[100] = "a line";
    size_t taken = 0;

    while (log_sink_write(out, line, sizeof line) == 0) {
        taken++;
        assert_true(taken < 1000000);
    }
    return taken;
}

static void
test_a_full_pipe_is_not_waited_for(void **state)
{
    struct log_sink_out out;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    log_sink_out_init(&out, fds[1]);
    assert_int_equal(out.kind, LOG_SINK_OUT_PIPE);
    fill(&out);
    /* The flags, which other processes share, stay as they were. */
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    close(fds[0]);
    assert_int_equal(log_sink_write(&out, "x", 1), -1);
    close(fds[1]);
}

static void
test_a_shared_pipe_gets_a_description_of_its_own(void **state)
{
    struct log_sink_out out;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    log_sink_out_share(&out, fds[1]);
    assert_int_not_equal(out.fd, fds[1]);
    assert_true((fcntl(out.fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    fill(&out);
    log_sink_out_fini(&out);
    close(fds[0]);
    close(fds[1]);
}

static void
test_a_full_socket_is_not_waited_for(void **state)
{
    struct log_sink_out out;
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    log_sink_out_init(&out, fds[1]);
    assert_int_equal(out.kind, LOG_SINK_OUT_SOCKET);
    fill(&out);
    close(fds[0]);
    assert_int_equal(log_sink_write(&out, "x", 1), -1); /* and no SIGPIPE */
    close(fds[1]);
}

/* --- files ---------------------------------------------------------------------------------- */

static void
test_a_renamed_file_is_created_again(void **state)
{
    struct log_sink_out out;
    struct place place;
    struct error error = {""};

    (void)state;
    place_make(&place);
    assert_int_equal(log_sink_out_open(&out, place.path, &error), 0);
    assert_int_equal(log_sink_write(&out, "one\n", 4), 0);
    assert_int_equal(rename(place.path, place.moved), 0);
    int fd = out.fd;
    assert_int_equal(log_sink_write(&out, "three\n", 6), 0);
    assert_int_equal(out.fd, fd);
    assert_int_equal(size_of(place.moved), 4);
    assert_int_equal(size_of(place.path), 6);
    /* Removed, and made by another: that one is gone on with. */
    unlink(place.path);
    close(open(place.path, O_WRONLY | O_CREAT, 0600));
    assert_int_equal(log_sink_out_follow(&out, &error), 0);
    assert_int_equal(log_sink_write(&out, "x\n", 2), 0);
    assert_int_equal(size_of(place.path), 2);
    log_sink_out_fini(&out);
    place_remove(&place);
}

static void
test_a_shared_file_is_followed_too(void **state)
{
    struct log_sink_out out;
    struct place place;

    (void)state;
    place_make(&place);
    int fd = open(place.path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    log_sink_out_share(&out, fd);
    assert_int_equal(out.fd, fd);
    assert_string_equal(out.path, place.path);
    rename(place.path, place.moved);
    assert_int_equal(log_sink_write(&out, "x\n", 2), 0);
    assert_int_equal(size_of(place.path), 2);
    assert_int_equal(size_of(place.moved), 0);
    log_sink_out_fini(&out);
    place_remove(&place);
}

static void
test_a_link_in_its_place_is_not_followed(void **state)
{
    struct log_sink_out out;
    struct place place;
    struct error error = {""};

    (void)state;
    place_make(&place);
    assert_int_equal(log_sink_out_open(&out, place.path, &error), 0);
    rename(place.path, place.moved);
    assert_int_equal(symlink("log.other", place.path), 0);
    assert_int_equal(log_sink_out_follow(&out, &error), -1);
    assert_non_null(strstr(error.text, place.path));
    assert_int_equal(log_sink_write(&out, "x\n", 2), 0);
    assert_int_equal(size_of(place.moved), 2);
    log_sink_out_fini(&out);
    unlink(place.path);
    assert_int_equal(mkfifo(place.path, 0600), 0);
    int reader = open(place.path, O_RDONLY | O_NONBLOCK);
    assert_int_equal(log_sink_out_open(&out, place.path, &error), -1);
    assert_non_null(strstr(error.text, "not a regular file"));
    close(reader);
    place_remove(&place);
}

/* --- what begins a line --------------------------------------------------------------- */

static void
test_the_journal_is_believed_only_of_its_own_stream(void **state)
{
    char stream[64];
    struct stat st;
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(fstat(fds[1], &st), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    assert_true(log_sink_is_journal(fds[1]));
    assert_false(log_sink_is_journal(fds[0]));
    setenv("JOURNAL_STREAM", "", 1);
    assert_false(log_sink_is_journal(fds[1]));
    setenv("JOURNAL_STREAM", "8:12345", 1);
    assert_false(log_sink_is_journal(fds[1]));
    snprintf(stream, sizeof stream, "%ju:%ju7", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    assert_false(log_sink_is_journal(fds[1]));
    unsetenv("JOURNAL_STREAM");
    assert_false(log_sink_is_journal(fds[1]));
    close(fds[0]);
    close(fds[1]);
}

static void
test_lines_of_a_file_have_a_time(void **state)
{
    struct place place;
    struct log log;
    struct error error = {""};
    char text[200] = "";

    (void)state;
    place_make(&place);
    setenv("TZ", "NPT-5:45", 1); /* Nepal's */
    struct log_config config = {.level = LOG_INFO, .to = LOG_SINK_FILE, .file = place.path};
    assert_int_equal(log_open(&log, &config, &error), 0);
    log_line(&log, LOG_INFO, "hello\nworld");
    int fd = open(place.path, O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    int end = 0;
    int pid = 0;
    assert_int_equal(sscanf(text,
                            "%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3d+05:45 rowcast[%d]: info: "
                            "hello world\n%n",
                            &pid, &end),
                     1);
    assert_int_equal(pid, getpid());
    assert_int_equal(end, (int)strlen(text));
    close(fd);
    log_close(&log);
    unsetenv("TZ");
    place_remove(&place);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_pipe_is_not_waited_for),
        cmocka_unit_test(test_a_shared_pipe_gets_a_description_of_its_own),
        cmocka_unit_test(test_a_full_socket_is_not_waited_for),
        cmocka_unit_test(test_a_renamed_file_is_created_again),
        cmocka_unit_test(test_a_shared_file_is_followed_too),
        cmocka_unit_test(test_a_link_in_its_place_is_not_followed),
        cmocka_unit_test(test_the_journal_is_believed_only_of_its_own_stream),
        cmocka_unit_test(test_lines_of_a_file_have_a_time),
    };

    signal(SIGPIPE, SIG_IGN);
    return RUN(tests);
}
