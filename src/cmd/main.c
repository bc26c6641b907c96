/* main.c - finds the subcommand; everything else is in cmd_*.c. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

/* Installed under this name for web servers that take a path and no arguments. */
#define CGI_NAME "rowcast.cgi"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", cmd_serve, "stream new rows to browsers (FastCGI or CGI)"},
    {"init", cmd_init, "create or migrate the table in a database"},
    {"send", cmd_send, "insert a notification"},
    {"tail", cmd_tail, "print notifications in the terminal"},
    {"prune", cmd_prune, "delete old notifications"},
    {"track", cmd_track, "make every change of a table a notification"},
    {"untrack", cmd_untrack, "undo that"},
    {"rebase", cmd_rebase, "after restoring a backup: never reuse an id"},
    {"ticket", cmd_ticket, "mint a signed ticket for a reader"},
    {"doctor", cmd_doctor, "check the database and the way through the web server"},
};

static void
usage(FILE *out)
{
    fprintf(out, "Usage: rowcast COMMAND [OPTION]...\n"
                 "Push rows of an SQLite table to browsers as Server-Sent Events.\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\nrowcast COMMAND --help tells the command's options; "
                 "rowcast --version the version.\n");
}

/* A program may be started with descriptors 0 to 2 closed (the FastCGI specification, section 2.2,
 * promises no more than descriptor 0). The next file that is opened would get such a number: the
 * database would be standard error, and log lines would be written into it. So /dev/null takes
 * each number that is free; opened so that reading 0 and writing 1 and 2 still fail. */
static int
occupy_standard_descriptors(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", modes[fd]) != fd) /* the lowest free number, which is fd */
            return -1;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    if (occupy_standard_descriptors() != 0)
        return CMD_FAILED; /* there is nowhere to say it */
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = argc == 0 ? "" : slash == NULL ? argv[0] : slash + 1;
    if (strcmp(name, CGI_NAME) == 0) {
        /* A web server may make arguments of a query string without "=" (RFC 3875 section 4.4):
         * they are a stranger's words, not options. */
        char serve[] = "serve";
        char *args[] = {serve, NULL};
        return cmd_serve(1, args);
    }
    if (argc < 2) {
        usage(stderr);
        return CMD_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return CMD_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("rowcast %s\n", PACKAGE_VERSION);
        return CMD_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "rowcast: unknown command \"%s\" (see rowcast --help)\n", argv[1]);
    return CMD_USAGE;
}
