/* ticket.c - `rowcast ticket`: signs a ticket and prints it.
 *
 * For trying things out and for scripts; applications sign with a library of their own. It needs
 * no database. The ticket goes to stdout and nowhere else. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "access/ticket.h"

#define EXPIRES_MAX_MS (INT64_C(3650) * 86400 * 1000)

struct settings {
    const char *key_file;
    const char *kid;
    const char *sub;
    const char *audience;
    struct text_list channels;
    struct text_list publish;
    int64_t expires_ms;
    int64_t not_before_ms;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    OPTION(key_file, "key-file", OPTION_TEXT, .value_name = "FILE",
           .help = "the secret or private key to sign with"),
    OPTION(kid, "kid", OPTION_TEXT, .value_name = "NAME",
           .help = "the name of the key, if the file has several"),
    OPTION(sub, "sub", OPTION_TEXT, .value_name = "USER",
           .help = "the user; without: the web server's user, if any"),
    OPTION(channels, "channel", OPTION_LIST, .value_name = "GLOB",
           .help = "channels that may be read; repeatable; without: no limit"),
    OPTION(publish, "publish", OPTION_LIST, .value_name = "GLOB",
           .help = "channels that may be written; repeatable"),
    OPTION(expires_ms, "expires", OPTION_AGE, .value_name = "AGE", .fallback = "1h",
           .min = 1000, .max = EXPIRES_MAX_MS, .help = "how long the ticket is valid"),
    OPTION(not_before_ms, "not-before", OPTION_AGE, .value_name = "AGE", .fallback = "0",
           .max = EXPIRES_MAX_MS, .help = "the ticket is valid from then on"),
    OPTION(audience, "audience", OPTION_TEXT, .value_name = "NAME",
           .help = "as in the server's --ticket-audience"),
    {.name = NULL},
};

const struct command cmd_ticket_command = {
    .name = "ticket",
    .operands = "",
    .summary =
        "Prints a signed ticket for a reader of a server that has --ticket-key-file.",
    .options = options,
};

/* The key that is meant: the one of --kid, or the only one. */
static const struct ticket_key *
choose_key(const struct ticket_keys *keys, const char *kid, struct error *error)
{
    char quoted[128];
    if (kid == NULL && keys->count == 1)
        return &keys->items[0];
    for (size_t i = 0; kid != NULL && i < keys->count; i++)
        if (keys->items[i].kid != NULL && strcmp(keys->items[i].kid, kid) == 0)
            return &keys->items[i];
    if (kid == NULL)
        error_set(error, "--key-file has %zu keys: which one? Give --kid NAME",
                  keys->count);
    else
        error_set(error, "--key-file has no key with kid: %s",
                  log_quote(quoted, sizeof quoted, kid));
    return NULL;
}

/* A name that a server would refuse is refused here. */
static int
check_name(const char *name, const char *option, struct error *error)
{
    bool good = name == NULL || strlen(name) <= TICKET_NAME_MAX;
    for (; good && name != NULL && *name != '\0'; name++)
        good = (unsigned char)*name >= ' ' && *name != 0x7f;
    if (!good)
        return error_set(error,
                         "--%s: must have at most %d bytes and no control characters",
                         option, TICKET_NAME_MAX);
    return 0;
}

static int
fill(struct ticket *ticket, const struct settings *settings, struct error *error)
{
    /* In whole seconds, as ticket times are written: never shorter than asked for. */
    int64_t now_ms = (cmd_now_ms() + 999) / 1000 * 1000;
    if (check_name(settings->sub, "sub", error) != 0 ||
        check_name(settings->audience, "audience", error) != 0)
        return -1;
    if (settings->not_before_ms >= settings->expires_ms)
        return error_set(error, "--not-before: must be before --expires");
    ticket->has_channels = settings->channels.count > 0;
    ticket->has_publish = settings->publish.count > 0;
    ticket->expires_at_ms = now_ms + settings->expires_ms;
    ticket->issued_at_ms = cmd_now_ms(); /* to the millisecond, as revocations are */
    if (settings->not_before_ms > 0)
        ticket->not_before_ms = now_ms + settings->not_before_ms;
    ticket->sub = settings->sub != NULL ? strdup(settings->sub) : NULL;
    if (settings->sub != NULL && ticket->sub == NULL)
        return error_set(error, "out of memory");
    if (cmd_take_patterns(&ticket->channels, &settings->channels, "channel", error) != 0)
        return -1;
    return cmd_take_patterns(&ticket->publish, &settings->publish, "publish", error);
}

static int
print(const char *text)
{
    struct error error;
    if (printf("%s\n", text) >= 0 && fflush(stdout) == 0)
        return CMD_OK;
    error_set(&error, "the ticket could not be printed: %s", strerror(errno));
    return cmd_fail(cmd_ticket_command.name, &error);
}

static int
mint(const struct settings *settings, const struct ticket *ticket)
{
    struct log log;
    struct error error = {""};
    char *text = NULL;
    log_init(&log, LOG_WARN);
    struct ticket_keys *keys =
        ticket_keys_load(settings->key_file, TICKET_SIGNS, &log, &error);
    const struct ticket_key *key =
        keys != NULL ? choose_key(keys, settings->kid, &error) : NULL;
    if (key != NULL)
        text = ticket_sign(key, ticket, settings->audience, &error);
    int code = text != NULL ? print(text) : cmd_fail(cmd_ticket_command.name, &error);
    free(text);
    ticket_keys_free(keys);
    return code;
}

int
cmd_ticket(char **argv)
{
    struct settings settings;
    struct ticket ticket = {0};
    struct error error = {""};
    const char *operands[1];
    enum options_result parsed =
        options_parse(&cmd_ticket_command, argv, &settings, operands, &error);
    if (parsed == OPTIONS_EXIT)
        return CMD_OK;
    if (parsed == OPTIONS_OK && settings.key_file == NULL) {
        error_set(&error, "sign with which key? Give --key-file FILE");
        parsed = OPTIONS_USAGE;
    }
    if (parsed == OPTIONS_OK && fill(&ticket, &settings, &error) != 0)
        parsed = OPTIONS_USAGE;
    int code = parsed == OPTIONS_OK ? mint(&settings, &ticket)
                                    : cmd_usage(cmd_ticket_command.name, &error);
    ticket_fini(&ticket);
    options_free(&cmd_ticket_command, &settings);
    return code;
}
