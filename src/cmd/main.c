/* main.c - finds the subcommand in the table of cmd/about.c; each has a file of its own here. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/about.h"
#include "cmd/cmd.h"

extern char **environ;

/* Installed under this name for web servers that take a path and no arguments. */
#define CGI_NAME "rowcast.cgi"

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

static bool
is_one_of(const char *text, const char *name, const char *letter)
{
    return strcmp(text, name) == 0 || strcmp(text, letter) == 0;
}

/* rowcast help COMMAND: what its --help prints. */
static int
help_command(char *name)
{
    const struct cmd_entry *entry = cmd_find(name);
    char help[] = "--help";
    char *args[] = {name, help, NULL};

    if (entry != NULL)
        return entry->run(args);
    about_refuse_command(name);
    return CMD_USAGE;
}

static int
run_command(char **argv)
{
    const struct cmd_entry *entry = cmd_find(argv[0]);

    if (entry == NULL) {
        about_refuse_command(argv[0]);
        return CMD_USAGE;
    }
    about_warn_of_variables(environ);
    return entry->run(argv);
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
        return cmd_serve(args);
    }
    if (argc < 2) {
        about_print_usage(stderr);
        return CMD_USAGE;
    }
    if (is_one_of(argv[1], "--version", "-V")) {
        about_print_version();
        return CMD_OK;
    }
    if (is_one_of(argv[1], "--help", "-h") || (strcmp(argv[1], "help") == 0 && argc < 3)) {
        about_print_usage(stdout);
        return CMD_OK;
    }
    return strcmp(argv[1], "help") == 0 ? help_command(argv[2]) : run_command(argv + 1);
}
