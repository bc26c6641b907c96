/* test_files.c - whether what is open is what lies at the path: moved files, other names,
 * strangers.
 *
 * A folder for each test. Other processes are the sqlite3 program: within one process SQLite
 * gives all connections the same -shm. */
#include "config.h"

#include "store/files.h"
#include "store/store.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../folder.h"
#include "../unit.h"

#define TEST_NAME "files"
#define TURN_NS 10000000L
#define TURNS_MAX 3000

struct place {
    char folder[64];
    char path[96];
    struct error error;
};

/* --- the place ----------------------------------------------------------------------- */

static int
place_setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    if (folder_make(place->folder, "files") != 0)
        return -1;
    snprintf(place->path, sizeof place->path, "%s/test.db", place->folder);
    *state = place;
    return 0;
}

static int
place_teardown(void **state)
{
    struct place *place = *state;
    folder_remove(place->folder);
    free(place);
    return 0;
}

/* A shell command; $D is the database, and it runs in its folder. */
static void
run(const struct place *place, const char *command)
{
    setenv("D", place->path, 1);
    char line[512];
    snprintf(line, sizeof line, "cd %s && { %s; } >/dev/null", place->folder, command);
    CHECK(system(line) == 0, "%s\n", line);
}

static void
init(struct place *place, enum store_journal journal)
{
    struct store_config config = {.path = place->path, .mode = STORE_WRITE};
    struct store_init_result result;
    assert_int_equal(store_init(&config, journal, &result, &place->error), 0);
    if (journal == STORE_JOURNAL_KEEP)
        run(place, "sqlite3 $D 'PRAGMA journal_mode = DELETE'");
}

static struct store *
open_store(struct place *place)
{
    struct store_config config = {.path = place->path, .mode = STORE_READ};
    bool busy;
    struct store *store = store_open(&config, &busy, &place->error);
    CHECK(store != NULL, "%s\n", place->error.text);
    return store;
}

static void
pause_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
}

/* --- moved while it is being opened --------------------------------------------------- */

/* What befalls the files after SQLite's first read and before they are noted; once. */
static struct {
    const struct place *place;
    const char *command;
    int calls;
} trick;

bool __real_store_files_note(struct store_files *files, const char *opened,
                             enum store_files_of of);
bool __wrap_store_files_note(struct store_files *files, const char *opened,
                             enum store_files_of of);

bool
__wrap_store_files_note(struct store_files *files, const char *opened,
                        enum store_files_of of)
{
    if (trick.calls++ == 0 && trick.command != NULL)
        run(trick.place, trick.command);
    return __real_store_files_note(files, opened, of);
}

/* Opens it while that happens, then sees what another process writes. */
static void
check_open_during(struct place *place, const char *command)
{
    int64_t before;
    struct store_marks marks;
    trick.place = place;
    trick.command = command;
    trick.calls = 0;
    struct store *store = open_store(place);
    trick.command = NULL;
    assert_int_equal(store_read_marks(store, &marks, &place->error), STORE_OK);
    before = marks.tail;
    run(place, "sqlite3 $D \"INSERT INTO notification(data) VALUES ('x')\"");
    assert_int_equal(store_read_marks(store, &marks, &place->error), STORE_OK);
    CHECK(marks.tail == before + 1 || store_has_moved(store), "%s: blind\n", command);
    CHECK(trick.calls > 1, "%s: opened once\n", command);
    store_close(store);
}

static void
test_what_is_moved_during_the_open_is_seen(void **state)
{
    static const char *const commands[] = {
        "rm $D-shm",
        "rm $D-wal $D-shm",
        "rm $D-shm && sqlite3 $D 'SELECT * FROM notification' && test -e $D-shm",
        "cp -p $D-shm x && mv x $D-shm",
    };
    struct place *place = *state;
    init(place, STORE_JOURNAL_WAL);
    for (size_t i = 0; i < COUNT(commands); i++) {
        /* With -wal and -shm there before, as a reader leaves them; and without. */
        store_close(open_store(place));
        check_open_during(place, commands[i]);
        run(place, "sqlite3 $D 'PRAGMA wal_checkpoint(TRUNCATE)' && rm -f $D-wal $D-shm");
        check_open_during(place, commands[i]);
    }
}

static void
test_one_that_is_the_first_to_open_it_can(void **state)
{
    struct place *place = *state;
    init(place, STORE_JOURNAL_WAL);
    run(place, "rm -f $D-wal $D-shm");
    struct store *store = open_store(place);
    assert_false(store_has_moved(store));
    store_close(store);
    /* It was the last one, too, and no writer: the files stay. */
    run(place, "test -e $D-wal && test -e $D-shm");

    struct store_config config = {
        .path = place->path, .mode = STORE_WRITE, .busy_ms = 1000};
    store = store_open(&config, NULL, &place->error);
    CHECK(store != NULL, "%s\n", place->error.text);
    store_close(store); /* a writer checkpoints and removes them */
    run(place, "test ! -e $D-wal && test ! -e $D-shm");
}

/* --- moved afterwards ----------------------------------------------------------------- */

static void
test_each_of_the_three_files_counts(void **state)
{
    static const struct {
        const char *command;
        bool moves;
    } cases[] = {
        {"true", false},
        {"sqlite3 $D \"INSERT INTO notification(data) VALUES ('x')\"", false},
        {"sqlite3 $D 'PRAGMA wal_checkpoint(TRUNCATE)'", false},
        {"sqlite3 $D 'VACUUM'", false},
        {"rm $D-shm", true},
        {"rm $D-wal", true},
        {"cp -p $D-shm x && mv x $D-shm", true},
        {"cp -p $D-wal x && mv x $D-wal", true},
        {"cp -p $D x && mv x $D", true},
        {"mv $D x", true},
        {"mkdir y && mv test.db* y", true},
    };
    struct place *place = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        init(place, STORE_JOURNAL_WAL);
        struct store *store = open_store(place);
        run(place, cases[i].command);
        CHECK(store_has_moved(store) == cases[i].moves, "%s\n", cases[i].command);
        store_close(store);
        run(place, "rm -rf ./*");
    }
}

static void
test_a_wal_that_comes_later_is_reopened(void **state)
{
    struct place *place = *state;
    init(place, STORE_JOURNAL_KEEP);
    struct store *store = open_store(place);
    assert_false(store_has_moved(store));
    run(place, "sqlite3 $D 'PRAGMA journal_mode = WAL'");
    bool changed;
    assert_int_equal(store_changed(store, &changed, &place->error), STORE_OK);
    assert_true(store_has_moved(store));
    store_close(store);
}

static void
test_a_wal_that_was_cut_off_is_noticed(void **state)
{
    struct store_files files;
    struct place *place = *state;
    init(place, STORE_JOURNAL_WAL);
    store_close(open_store(place));
    assert_int_equal(store_files_begin(&files, place->path), 0);
    assert_true(store_files_note(&files, place->path, STORE_FILES_OF_WAL));
    run(place, "head -c 8192 /dev/zero >$D-wal");
    assert_false(store_files_wal_shrank(&files));
    assert_false(store_files_wal_shrank(&files));
    run(place, "truncate -s 4096 $D-wal");
    assert_true(store_files_wal_shrank(&files));
    assert_false(store_files_wal_shrank(&files));
}

/* --- the folder, other names ---------------------------------------------------------- */

static void
test_a_folder_is_known_by_both_its_names(void **state)
{
    struct store_folders folders;
    char link[128];
    struct place *place = *state;
    run(place, "mkdir 1 2 && touch 1/a 2/a && ln -s 1/a link");
    snprintf(link, sizeof link, "%s/link", place->folder);
    store_folders_note(&folders, link);
    assert_true(store_folders_have(&folders, link));
    run(place, "rm link && ln -s 2/a link");
    assert_false(store_folders_have(&folders, link));
    run(place, "rm link && touch link"); /* the link's own folder is one of them */
    assert_true(store_folders_have(&folders, link));
    run(place, "rm link"); /* nothing there: no other folder either */
    assert_true(store_folders_have(&folders, link));
}

static void
test_a_hard_link_is_a_second_name(void **state)
{
    struct place *place = *state;
    init(place, STORE_JOURNAL_WAL);
    assert_false(store_files_have_two_names(place->path, &place->error));
    run(place, "ln $D other.db");
    assert_true(store_files_have_two_names(place->path, &place->error));
    assert_non_null(strstr(place->error.text, "find / -xdev -samefile"));
    struct store_config config = {.path = place->path, .mode = STORE_WRITE};
    assert_null(store_open(&config, NULL, &place->error));
    run(place, "rm other.db && ln -s $D other.db"); /* a symbolic link is none */
    assert_false(store_files_have_two_names(place->path, &place->error));
    run(place, "rm $D");
    assert_false(store_files_have_two_names(place->path, &place->error));
}

/* --- strangers ------------------------------------------------------------------------ */

/* A process of its own that has the database open: the sqlite3 program at a pipe. */
static FILE *
start_holder(const struct place *place)
{
    char line[256];
    snprintf(line, sizeof line, "exec sqlite3 %s >%s/holder", place->path, place->folder);
    FILE *holder = popen(line, "w");
    assert_non_null(holder);
    fputs("SELECT count(*) FROM notification; SELECT 'ready';\n", holder);
    fflush(holder);
    snprintf(line, sizeof line, "grep -q ready %s/holder", place->folder);
    for (int i = 0; system(line) != 0; i++) {
        assert_true(i < TURNS_MAX);
        pause_a_moment();
    }
    return holder;
}

static void
test_a_process_with_another_shm_is_a_stranger(void **state)
{
    struct store_device device = {""};
    struct place *place = *state;
    init(place, STORE_JOURNAL_WAL);
    FILE *holder = start_holder(place);
    assert_false(store_path_has_strangers(place->path, &device, &place->error));
    struct store *store = open_store(place);
    assert_false(store_has_strangers(store, &device, &place->error));
    store_close(store);

    run(place, "rm $D-shm");
    assert_true(store_path_has_strangers(place->path, &device, &place->error));
    assert_non_null(strstr(place->error.text, "stop that process"));
    store = open_store(place);
    assert_true(store_has_strangers(store, &device, &place->error));
    pclose(holder);
    assert_false(store_has_strangers(store, &device, &place->error));
    store_close(store);
}

static void
test_a_rollback_journal_has_no_strangers(void **state)
{
    struct store_device device = {""};
    struct place *place = *state;
    init(place, STORE_JOURNAL_KEEP);
    FILE *holder = start_holder(place);
    struct store *store = open_store(place);
    assert_false(store_path_has_strangers(place->path, &device, &place->error));
    assert_false(store_has_strangers(store, &device, &place->error));
    store_close(store);
    pclose(holder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_moved_during_the_open_is_seen),
        TEST(test_one_that_is_the_first_to_open_it_can),
        TEST(test_each_of_the_three_files_counts),
        TEST(test_a_wal_that_comes_later_is_reopened),
        TEST(test_a_wal_that_was_cut_off_is_noticed),
        TEST(test_a_folder_is_known_by_both_its_names),
        TEST(test_a_hard_link_is_a_second_name),
        TEST(test_a_process_with_another_shm_is_a_stranger),
        TEST(test_a_rollback_journal_has_no_strangers),
    };
    signal(SIGPIPE, SIG_IGN);
    return RUN(tests);
}
