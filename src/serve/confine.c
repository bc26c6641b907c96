/* confine.c - the rights that a responder keeps once all is open, and what it cannot see.
 *
 * serve/serve.c calls it before there are threads. serve/sandbox.c and serve/seccomp.c do it; here
 * stands which folders this program still needs, and what is logged where the kernel cannot. */
#include "config.h"

#include "serve/internal.h"

#include <string.h>

#include "fastcgi/listen.h"
#include "feed/feed.h"
#include "serve/sandbox.h"

/* The log whose folder must stay writable, so that a rotated one can be created again: the one of
 * --log-to, or standard error where logs belong. Elsewhere, as in a home directory, it would be
 * a hole. */
static const char *
serve_log_path(const struct serve *serve)
{
    static const char logs[] = "/var/log/";
    const char *path = serve->log.out.path;
    if (path == NULL || serve->log.to == LOG_SINK_FILE)
        return path;
    return strncmp(path, logs, sizeof logs - 1) == 0 ? path : NULL;
}

/* The database's folder was replaced, and we may not enter the new one. */
static void
on_lost(void *arg, const struct error *error)
{
    struct serve *serve = arg;
    if (serve->lost.text[0] != '\0')
        return;
    serve->lost = *error;
    serve_drain(serve, "the database is out of reach");
}

void
serve_confine(struct serve *serve, const struct listeners *listeners)
{
    const struct sandbox_rule rules[] = {
        {serve->settings->db,
         SANDBOX_WRITE_BESIDE}, /* -wal, -shm; the file when replaced */
        {listeners == NULL ? NULL : listeners->unlink_path, SANDBOX_REMOVE_BESIDE},
        {serve->settings->ticket_key_file, SANDBOX_READ_BESIDE}, /* it may be replaced */
        {serve_log_path(serve), SANDBOX_APPEND_BESIDE},
        {"/dev/null", SANDBOX_READ},    /* the gateway's reserve of a descriptor */
        {"/dev/urandom", SANDBOX_READ}, /* SQLite's random numbers */
        {"/proc/locks", SANDBOX_READ},  /* who has the database open: store/files.c */
    };
    struct error error = {""};
    if (serve->settings->no_confine)
        return;
    int version = sandbox_enter(rules, sizeof rules / sizeof *rules, &error);
    if (version < 0)
        log_line(&serve->log, LOG_WARN, "cannot confine the process: %s", error.text);
    else if (version > 0)
        feed_confine(serve->feed, on_lost, serve);
    if (version >= 0)
        log_line(&serve->log, LOG_DEBUG,
                 version > 0 ? "confined by Landlock %d"
                             : "not confined: the kernel has no Landlock (%d)",
                 version);
    int filtered = sandbox_filter_calls(&error);
    if (filtered < 0)
        log_line(&serve->log, LOG_WARN, "cannot filter system calls: %s", error.text);
    else
        log_line(&serve->log, LOG_DEBUG, "system calls are %s",
                 filtered > 0 ? "filtered" : "not filtered: no seccomp here");
}

/* A safety that this system does not have is named in the log. */
void
serve_check_sight(const struct serve *serve)
{
    if (!store_files_can_see_strangers())
        log_line(&serve->log, LOG_WARN,
                 "cannot read /proc/locks: a process that has the database open by another "
                 "name, or with a -shm that was removed, is not noticed: in a systemd unit "
                 "leave ProcSubset=pid out");
}
