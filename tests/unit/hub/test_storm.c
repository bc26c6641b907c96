/* test_storm.c - readers that come, lag, drop and resume while rows come and go, all by the throw
 * of dice, held against a list of the rows: whatever a reader was not sent, it was told of.
 *
 * A seed plays the same storm again as far as the kernel's sockets and timers let it. */
#include "config.h"

#include <unistd.h>

#include "event/filter.h"
#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "storm"

#define SEEDS 24
#define STEPS 250
#define ROWS_MAX 6000
#define READERS 10 /* at a time */

struct storm {
    struct stage stage;
    unsigned seed;
    struct hub_config config;
    struct {
        char channel[4];
        char recipient[4]; /* "": everybody */
        char key[4];       /* "": none */
        bool expired;
        bool replaced;    /* a newer row has its channel, recipient and key */
    } rows[ROWS_MAX + 1]; /* by id, less the base */
    int64_t tail;
    struct place {
        struct reader *reader; /* NULL: nobody */
        const char *query;
        const char *user;
        struct filter filter;
        int64_t after; /* where it stood when it came */
        size_t appetite;
    } places[READERS];
};

static unsigned
dice(struct storm *storm, unsigned sides)
{
    storm->seed = storm->seed * 1103515245 + 12345;
    return (storm->seed >> 16 & 0x7fff) % sides;
}

/* --- rows ----------------------------------------------------------------------------- */

static void
note_row(struct storm *storm)
{
    int64_t id = ++storm->tail;

    assert_true(id <= ROWS_MAX);
    snprintf(storm->rows[id].channel, 4, "%s",
             (const char *[]){"a", "b", "a.1", "c"}[dice(storm, 4)]);
    snprintf(storm->rows[id].recipient, 4, "%s",
             (const char *[]){"", "", "", "u", "v"}[dice(storm, 5)]);
    snprintf(storm->rows[id].key, 4, "%s",
             (const char *[]){"", "", "k", "l"}[dice(storm, 4)]);
    storm->rows[id].expired = dice(storm, 12) == 0;
    for (int64_t i = id - 1; i > 0 && storm->rows[id].key[0] != '\0'; i--) {
        if (strcmp(storm->rows[i].key, storm->rows[id].key) == 0 &&
            strcmp(storm->rows[i].channel, storm->rows[id].channel) == 0 &&
            strcmp(storm->rows[i].recipient, storm->rows[id].recipient) == 0) {
            storm->rows[i].replaced = true;
            break;
        }
    }
}

static void
insert_rows(struct storm *storm, unsigned count)
{
    stage_sql(&storm->stage, "BEGIN");
    while (count-- > 0 && storm->tail < ROWS_MAX - 10) {
        note_row(storm);
        int64_t id = storm->tail;
        const char *recipient = storm->rows[id].recipient;
        const char *key = storm->rows[id].key;
        int len = dice(storm, 40) == 0 ? 30000 : (int)dice(storm, 400);
        stage_sql(&storm->stage,
                  "INSERT INTO notification(channel, recipient, collapse_key, expires_at,"
                  " data) VALUES (%Q, %Q, %Q, %s, '%lld ' || printf('%%.*c', %d, 'x'))",
                  storm->rows[id].channel, *recipient == '\0' ? NULL : recipient,
                  *key == '\0' ? NULL : key, storm->rows[id].expired ? "1" : "NULL",
                  (long long)id, len);
    }
    stage_sql(&storm->stage, "COMMIT");
}

static void
delete_rows(struct storm *storm)
{
    int64_t up_to = storm->tail - (int64_t)dice(storm, 400);

    if (dice(storm, 4) == 0)
        stage_sql(&storm->stage, "DELETE FROM notification WHERE id = %lld",
                  storm->stage.base + up_to);
    else if (dice(storm, 4) == 0)
        stage_sql(&storm->stage, "DELETE FROM notification WHERE expires_at IS NOT NULL");
    else
        stage_sql(&storm->stage, "DELETE FROM notification WHERE id <= %lld",
                  storm->stage.base + up_to);
}

/* --- readers -------------------------------------------------------------------------- */

static void
come_in(struct storm *storm, struct place *place)
{
    char id[32];
    struct visit visit = {.query = place->query, .user = place->user, .idle = true};

    if (place->after >= 0) {
        snprintf(id, sizeof id, "%lld", (long long)(storm->stage.base + place->after));
        visit.last_event_id = id;
    }
    visit.send_bytes = dice(storm, 2) == 0 ? 4096 : 0;
    visit.request_id = dice(storm, 4) == 0 ? 513 : 1;
    place->appetite = (size_t[]){300, 5000, 50000, SIZE_MAX}[dice(storm, 4)];
    place->reader = stage_visit(&storm->stage, &visit);
}

static void
new_guest(struct storm *storm, struct place *place)
{
    static const struct {
        const char *query;
        const char *patterns[2];
    } ways[] = {{"", {NULL}},
                {"channel=a", {"a"}},
                {"channel=a&channel=b", {"a", "b"}},
                {"channel=a*", {"a*"}},
                {"throttle=3", {NULL}},
                {"channel=b&throttle=1&ping=1", {"b"}},
                {"channel=none&ping=1", {"none"}}};
    size_t way = dice(storm, COUNT(ways));

    filter_fini(&place->filter);
    place->query = ways[way].query;
    place->user = (const char *[]){NULL, "u", "v"}[dice(storm, 3)];
    for (size_t i = 0; i < 2 && ways[way].patterns[i] != NULL; i++)
        patterns_add(&place->filter.requested, slice_of(ways[way].patterns[i]));
    patterns_compile(&place->filter.requested, PATTERNS_ASKED);
    if (place->user != NULL)
        place->filter.user = strdup(place->user);
    place->after =
        dice(storm, 2) == 0 ? -1 : (int64_t)dice(storm, (unsigned)storm->tail + 1);
    come_in(storm, place);
}

/* NULL where a row of the list may be missing from what the reader got, else why it may not. */
static bool
is_due(const struct storm *storm, const struct place *place, int64_t id)
{
    const char *recipient = storm->rows[id].recipient;

    return !storm->rows[id].expired && !storm->rows[id].replaced &&
           filter_matches(&place->filter, slice_of(storm->rows[id].channel),
                          slice_of(*recipient == '\0' ? NULL : recipient));
}

static void
check_row(const struct storm *storm, const struct place *place, const struct told *told,
          int64_t at)
{
    CHECK(told->id > at && told->id <= storm->tail, "seed: row %lld behind %lld\n",
          (long long)told->id, (long long)at);
    assert_int_equal(atoll(told->data), told->id);
    const char *recipient = storm->rows[told->id].recipient;
    assert_true(filter_matches(&place->filter, slice_of(storm->rows[told->id].channel),
                               slice_of(*recipient == '\0' ? NULL : recipient)));
    for (int64_t id = at + 1; id < told->id; id++)
        CHECK(!is_due(storm, place, id), "row %lld is missing before %lld (\"%s\", %s)\n",
              (long long)id, (long long)told->id, place->query,
              place->user != NULL ? place->user : "nobody");
}

/* Checks all that the reader got; returns the last id that it was told, as a browser has it. */
static int64_t
check_place(const struct storm *storm, const struct place *place)
{
    struct reader *reader = place->reader;
    int64_t at = place->after;

    reader_rows(reader); /* parses */
    for (size_t i = 0; i < reader->event_count; i++) {
        const struct told *told = &reader->events[i];
        if (strcmp(told->type, "rowcast:open") == 0) {
            assert_int_equal(i, 0);
            if (at < 0)
                at = told->id;
        } else if (strcmp(told->type, "rowcast:gap") == 0) {
            CHECK(told->id >= at, "gap to %lld behind %lld\n", (long long)told->id,
                  (long long)at);
            at = told->id;
        } else if (strcmp(told->type, "rowcast:ping") != 0) {
            check_row(storm, place, told, at);
            at = told->id;
        }
    }
    return at;
}

static void
leave(struct storm *storm, struct place *place)
{
    place->after = check_place(storm, place);
    reader_hang_up(place->reader);
    place->reader = NULL;
}

/* --- the storm ------------------------------------------------------------------------ */

static void
read_some(struct storm *storm)
{
    for (size_t i = 0; i < READERS; i++) {
        struct reader *reader = storm->places[i].reader;
        if (reader != NULL && !reader->at_end && dice(storm, 3) > 0)
            reader->at_end =
                !peer_read(reader->fd, &reader->raw, storm->places[i].appetite);
    }
}

static void
restart(struct storm *storm)
{
    for (size_t i = 0; i < READERS; i++)
        if (storm->places[i].reader != NULL)
            leave(storm, &storm->places[i]);
    stage_stop_hub(&storm->stage);
    stage_forget_readers(&storm->stage);
    stage_start_hub(&storm->stage, &storm->config);
}

static void
step(struct storm *storm)
{
    struct place *place = &storm->places[dice(storm, READERS)];

    if (dice(storm, 3) == 0)
        insert_rows(storm, dice(storm, 10) == 0 ? 60 : 1 + dice(storm, 8));
    if (dice(storm, 25) == 0)
        delete_rows(storm);
    if (dice(storm, 120) == 0 || storm->stage.reader_count > STAGE_READERS_MAX - 2)
        restart(storm);
    if (place->reader == NULL && place->query != NULL && dice(storm, 2) == 0)
        come_in(storm, place);
    else if (place->reader == NULL)
        new_guest(storm, place);
    else if (place->reader->at_end || dice(storm, 8) == 0)
        leave(storm, place);
    if (dice(storm, 2) == 0)
        usleep(50);
    stage_step(&storm->stage);
    read_some(storm);
}

/* Everybody reads to the end, and has then got all that there was for him. */
static void
calm(struct storm *storm)
{
    struct stage *stage = &storm->stage;
    int64_t end = storm->tail;

    for (size_t i = 0; i < READERS; i++) {
        struct place *place = &storm->places[i];
        if (place->reader == NULL)
            continue;
        place->reader->idle = false;
        int64_t due = end;
        while (due > 0 && !is_due(storm, place, due))
            due--;
        WAIT(stage, place->reader->at_end || check_place(storm, place) >= due);
    }
    for (size_t i = 0; i < READERS; i++)
        if (storm->places[i].reader != NULL)
            leave(storm, &storm->places[i]);
}

static void
play(unsigned seed)
{
    static struct storm storm;

    storm = (struct storm){.seed = seed * 7919};
    storm.config =
        (struct hub_config){.heartbeat_ms = dice(&storm, 2) == 0 ? 2 : 0,
                            .max_age_ms = dice(&storm, 4) == 0 ? 30 : 0,
                            .window_bytes = (size_t[]){1, 20000, 1 << 20}[dice(&storm, 3)]};
    stage_open(&storm.stage, &(struct stage_config){.hub = storm.config});
    for (int i = 0; i < STEPS; i++)
        step(&storm);
    insert_rows(&storm, 20);
    calm(&storm);
    for (size_t i = 0; i < READERS; i++)
        filter_fini(&storm.places[i].filter);
    stage_close(&storm.stage);
}

static void
test_a_reader_got_each_row_or_a_gap(void **state)
{
    const char *one = getenv("STORM_SEED"); /* to play one again, or others */

    (void)state;
    if (one != NULL) {
        play((unsigned)strtoul(one, NULL, 10));
        return;
    }
    for (unsigned seed = 1; seed <= SEEDS; seed++)
        play(seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reader_got_each_row_or_a_gap),
    };

    return RUN(tests);
}
