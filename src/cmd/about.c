/* about.c - the list of commands, and what is made from it: usage, version, near misses.
 *
 * Called by cmd/main.c. The names of variables come from the option tables of all commands, so that
 * nothing has to be listed twice. */
#include "config.h"

#include "cmd/about.h"

#include <string.h>
#include <uv.h>

#include "access/ticket.h"
#include "base/nearest.h"
#include "cmd/cmd.h"
#include "doctor/http.h"
#include "follow/pg.h"

#define NAMES_MAX 160 /* variables of all commands */
#define PREFIX "ROWCAST_"
#define TESTS_PREFIX "ROWCAST_TEST_"

static const struct cmd_entry entries[] = {
    {&cmd_serve_command, cmd_serve, "stream new rows to browsers (FastCGI or CGI)"},
    {&cmd_init_command, cmd_init, "create or migrate the table in a database"},
    {&cmd_send_command, cmd_send, "insert a notification"},
    {&cmd_tail_command, cmd_tail, "print notifications in the terminal"},
    {&cmd_channels_command, cmd_channels, "list the channels and how many rows they have"},
    {&cmd_push_command, cmd_push, "send rows to browsers whose pages are closed"},
    {&cmd_prune_command, cmd_prune, "delete old notifications"},
    {&cmd_track_command, cmd_track, "make every change of a table a notification"},
    {&cmd_untrack_command, cmd_untrack, "undo that"},
    {&cmd_status_command, cmd_status, "print who is connected and how it goes"},
    {&cmd_revoke_command, cmd_revoke, "throw a user out: streams, tickets, push"},
    {&cmd_follow_command, cmd_follow, "carry a log in PostgreSQL into a file, on many machines"},
    {&cmd_rebase_command, cmd_rebase, "after restoring a backup: never reuse an id"},
    {&cmd_ticket_command, cmd_ticket, "sign a ticket for a reader"},
    {&cmd_doctor_command, cmd_doctor,
     "check the database and the way through the web server"},
};

enum { ENTRIES = sizeof entries / sizeof *entries };

const struct cmd_entry *
cmd_entries(size_t *count)
{
    *count = ENTRIES;
    return entries;
}

const struct cmd_entry *
cmd_find(const char *name)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        if (strcmp(name, entries[i].command->name) == 0)
            return &entries[i];
    }
    return NULL;
}

void
about_print_usage(FILE *out)
{
    fprintf(out, "Usage: rowcast COMMAND [OPTION]...\n"
                 "Push rows of an SQLite table to browsers as Server-Sent Events.\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < ENTRIES; i++)
        fprintf(out, "  %-8s %s\n", entries[i].command->name, entries[i].help);
    fprintf(out, "\nrowcast help COMMAND (or rowcast COMMAND --help) lists the command's "
                 "options; rowcast --version the version.\n");
}

void
about_print_version(void)
{
    printf("rowcast " PACKAGE_VERSION
           "\nSQLite %s, libuv %s, OpenSSL %s, libjwt " LIBJWT_VERSION
           ", HTTP client for doctor: %s, PostgreSQL: %s, systemd: %s\n",
           store_library_version(), uv_version_string(), ticket_openssl_version(),
           doctor_http_is_built() ? "libcurl" : "no",
           pg_is_built() ? "libpq" : "no",
#ifdef HAVE_SYSTEMD
           "yes"
#else
           "no"
#endif
    );
}

void
about_refuse_command(const char *name)
{
    const char *names[ENTRIES];

    for (size_t i = 0; i < ENTRIES; i++)
        names[i] = entries[i].command->name;
    const char *meant = nearest_find(name, names, ENTRIES);
    if (meant != NULL)
        fprintf(stderr,
                "rowcast: unknown command \"%s\": did you mean %s? (see rowcast --help)\n",
                name, meant);
    else
        fprintf(stderr, "rowcast: unknown command \"%s\" (see rowcast --help)\n", name);
}

/* --- variables ----------------------------------------------------------------------- */

struct names {
    char texts[NAMES_MAX][OPTION_NAME_MAX];
    const char *list[NAMES_MAX];
    size_t count;
};

static void
add_name(struct names *names, const char *name)
{
    if (names->count == NAMES_MAX)
        return;
    snprintf(names->texts[names->count], OPTION_NAME_MAX, "%s", name);
    names->list[names->count] = names->texts[names->count];
    names->count++;
}

static void
collect_names(struct names *names)
{
    /* What a web server sets. */
    static const char *const granted[] = {"ROWCAST_CHANNELS", "ROWCAST_ADMIN",
                                          "ROWCAST_PUBLISH"};
    char name[OPTION_NAME_MAX];

    names->count = 0;
    for (size_t i = 0; i < sizeof granted / sizeof *granted; i++)
        add_name(names, granted[i]);
    for (size_t i = 0; i < ENTRIES; i++) {
        const struct option *option = entries[i].command->options;
        for (; option->name != NULL; option++)
            if (option_env_name(name, option) != NULL)
                add_name(names, name);
    }
}

static bool
is_known(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i], name) == 0)
            return true;
    }
    return false;
}

void
about_warn_of_variables(char **environment)
{
    struct names names = {.count = 0};
    char name[OPTION_NAME_MAX];

    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, PREFIX, sizeof PREFIX - 1) != 0 ||
            strncmp(*environment, TESTS_PREFIX, sizeof TESTS_PREFIX - 1) == 0)
            continue;
        if (names.count == 0)
            collect_names(&names);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*environment, "="), *environment);
        if (is_known(&names, name))
            continue;
        const char *meant = nearest_find(name, names.list, names.count);
        fprintf(stderr, "rowcast: nothing reads the variable %s%s%s%s\n", name,
                meant != NULL ? ": did you mean " : "", meant != NULL ? meant : "",
                meant != NULL ? "?" : "");
    }
}
