/* pg.c - see follow/pg.h. Called by follow/ alone. Only the connecting blocks in libpq; queries are
 * sent, and their answers waited for with a bound. */
#include "config.h"

#include "follow/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "follow/stop.h"

#ifdef HAVE_LIBPQ

#include <libpq-fe.h>

#define NAME_MAX_BYTES 200

struct pg {
    PGconn *conn;
    char name[NAME_MAX_BYTES];
};

struct pg_row {
    const PGresult *result;
};

bool
pg_is_built(void)
{
    return true;
}

/* --- connecting ------------------------------------------------------------------------ */

/* The first line of what libpq says, which may have several and ends in one. */
static const char *
first_line(char out[ERROR_TEXT_MAX], const char *text)
{
    snprintf(out, ERROR_TEXT_MAX, "%s", text != NULL ? text : "");
    out[strcspn(out, "\n")] = '\0';
    return out;
}

/* What stands before the URL is a default that the URL may change; what stands after it wins. */
static PGconn *
connect_to(const char *url)
{
    static const char *const names[] = {
        "connect_timeout",  "keepalives_idle",  "keepalives_interval",
        "keepalives_count", "tcp_user_timeout", "fallback_application_name",
        "dbname",           "client_encoding",  NULL};
    const char *const values[] = {"5", "10",   "5", "3", "20000", "rowcast follow",
                                  url, "UTF8", NULL};

    return PQconnectdbParams(names, values, 1);
}

static void
name_it(struct pg *pg)
{
    const char *host = PQhost(pg->conn);
    const char *port = PQport(pg->conn);
    const char *db = PQdb(pg->conn);

    snprintf(pg->name, sizeof pg->name, "%s at %s:%s", db != NULL ? db : "?",
             host != NULL ? host : "?", port != NULL ? port : "?");
}

struct pg *
pg_open(const char *url, struct error *error)
{
    char line[ERROR_TEXT_MAX];
    struct pg *pg = calloc(1, sizeof *pg);

    if (pg == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    pg->conn = connect_to(url);
    if (pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK) {
        name_it(pg);
        PQsetnonblocking(pg->conn, 1);
        return pg;
    }
    error_set(error, "cannot connect to PostgreSQL: %s",
              first_line(line, pg->conn != NULL ? PQerrorMessage(pg->conn) : "no memory"));
    pg_close(pg);
    return NULL;
}

void
pg_close(struct pg *pg)
{
    if (pg == NULL)
        return;
    PQfinish(pg->conn);
    free(pg);
}

const char *
pg_name(const struct pg *pg)
{
    return pg->name;
}

/* --- queries --------------------------------------------------------------------------- */

static enum pg_outcome
fail_lost(const struct pg *pg, const char *why, struct error *error)
{
    char line[ERROR_TEXT_MAX];
    const char *said = first_line(line, PQerrorMessage(pg->conn));

    error_set(error, "%s: the connection is lost: %s", pg->name,
              said[0] != '\0' ? said : why);
    return PG_LOST;
}

/* Waits for the socket; PG_OK: there is something to read, or was written. */
static enum pg_outcome
await_socket(struct pg *pg, struct error *error)
{
    int unsent = PQflush(pg->conn);
    struct pollfd fd = {.fd = PQsocket(pg->conn),
                        .events = unsent > 0 ? POLLIN | POLLOUT : POLLIN};

    if (unsent < 0 || fd.fd < 0)
        return fail_lost(pg, "it cannot be written to", error);
    int ready = stop_poll(&fd, 1, PG_PATIENCE_MS);
    if (stop_asked())
        return PG_STOPPED;
    if (ready == 0)
        return fail_lost(pg, "the server has not answered for 20 s", error);
    if (ready > 0 && (fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
        PQconsumeInput(pg->conn) == 0)
        return fail_lost(pg, "the server has closed it", error);
    return PG_OK;
}

static enum pg_outcome
await_result(struct pg *pg, PGresult **result, struct error *error)
{
    while (PQisBusy(pg->conn) != 0 || PQflush(pg->conn) > 0) {
        enum pg_outcome waited = await_socket(pg, error);
        if (waited != PG_OK)
            return waited;
    }
    *result = PQgetResult(pg->conn);
    return PG_OK;
}

/* What the two most frequent refusals want to be done about. */
static const char *
remedy_of(const char *state)
{
    if (strcmp(state, "42P01") == 0 || strcmp(state, "42883") == 0)
        return ": make rowcast's tables there with `rowcast follow --init URL`";
    if (strcmp(state, "42501") == 0)
        return ": GRANT rowcast_follow TO the user with which rowcast follow connects";
    return "";
}

static enum pg_outcome
fail_refused(const struct pg *pg, const PGresult *result, struct error *error)
{
    char line[ERROR_TEXT_MAX];
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (PQstatus(pg->conn) == CONNECTION_BAD)
        return fail_lost(pg, "the server has closed it", error);
    error_set(error, "%s: %s%s", pg->name,
              first_line(line, text != NULL ? text : PQresultErrorMessage(result)),
              remedy_of(state != NULL ? state : ""));
    return PG_REFUSED;
}

struct run {
    pg_row_fn row;
    void *arg;
    int result; /* number of the SELECT at hand */
};

static enum pg_outcome
take_result(struct pg *pg, struct run *run, const PGresult *result, struct error *error)
{
    ExecStatusType status = PQresultStatus(result);
    const struct pg_row row = {result};

    if (status == PGRES_SINGLE_TUPLE)
        return run->row == NULL || run->row(run->arg, run->result, &row) == PG_MORE
                   ? PG_OK
                   : PG_STOPPED;
    if (status == PGRES_TUPLES_OK) /* the end of its rows */
        run->result++;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
        status == PGRES_EMPTY_QUERY)
        return PG_OK;
    return fail_refused(pg, result, error);
}

enum pg_outcome
pg_run(struct pg *pg, const char *sql, pg_row_fn row, void *arg, struct error *error)
{
    struct run run = {.row = row, .arg = arg};
    enum pg_outcome outcome = PG_OK;
    PGresult *result = NULL;

    if (PQsendQuery(pg->conn, sql) == 0)
        return fail_lost(pg, "it cannot be written to", error);
    PQsetSingleRowMode(pg->conn);
    for (;;) {
        enum pg_outcome waited = await_result(pg, &result, error);
        if (waited != PG_OK)
            return waited;
        if (result == NULL)
            return outcome;
        if (outcome ==
            PG_OK) /* after a refusal the rest is read, so that the next may be sent */
            outcome = take_result(pg, &run, result, error);
        PQclear(result);
        if (outcome == PG_STOPPED || outcome == PG_LOST)
            return outcome;
    }
}

struct slice
pg_text(const struct pg_row *row, int column)
{
    if (PQgetisnull(row->result, 0, column) != 0)
        return (struct slice){NULL, 0};
    return (struct slice){PQgetvalue(row->result, 0, column),
                          (size_t)PQgetlength(row->result, 0, column)};
}

int64_t
pg_number(const struct pg_row *row, int column)
{
    struct slice text = pg_text(row, column);
    return text.p != NULL ? strtoll(text.p, NULL, 10) : 0;
}

/* --- notifications --------------------------------------------------------------------- */

static bool
take_notifications(struct pg *pg)
{
    bool any = false;
    PGnotify *notify;

    while ((notify = PQnotifies(pg->conn)) != NULL) {
        PQfreemem(notify);
        any = true;
    }
    return any;
}

enum pg_outcome
pg_wait(struct pg *pg, int timeout_ms, bool *notified)
{
    struct pollfd fd = {.fd = PQsocket(pg->conn), .events = POLLIN};

    *notified = take_notifications(pg);
    if (*notified)
        return PG_OK;
    int ready = stop_poll(&fd, 1, timeout_ms);
    if (stop_asked())
        return PG_STOPPED;
    if (ready <= 0)
        return PG_OK;
    if (PQconsumeInput(pg->conn) == 0)
        return PG_LOST;
    *notified = take_notifications(pg);
    return PG_OK;
}

#else

bool
pg_is_built(void)
{
    return false;
}

struct pg *
pg_open(const char *url, struct error *error)
{
    (void)url;
    error_set(error,
              "this rowcast was built without libpq: install libpq-dev and build again");
    return NULL;
}

void
pg_close(struct pg *pg)
{
    (void)pg;
}

const char *
pg_name(const struct pg *pg)
{
    (void)pg;
    return "";
}

enum pg_outcome
pg_run(struct pg *pg, const char *sql, pg_row_fn row, void *arg, struct error *error)
{
    (void)pg, (void)sql, (void)row, (void)arg, (void)error;
    return PG_LOST;
}

struct slice
pg_text(const struct pg_row *row, int column)
{
    (void)row, (void)column;
    return (struct slice){NULL, 0};
}

int64_t
pg_number(const struct pg_row *row, int column)
{
    (void)row, (void)column;
    return 0;
}

enum pg_outcome
pg_wait(struct pg *pg, int timeout_ms, bool *notified)
{
    (void)pg, (void)timeout_ms;
    *notified = false;
    return PG_LOST;
}

#endif
