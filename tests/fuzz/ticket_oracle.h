/* ticket_oracle.h - tickets for fuzz_access.c: signed from the fuzzer's bytes, and read once more,
 * the short way, to know what they may grant.
 *
 * In a parameter of the fuzzer's the bytes between \x01 and \x02 are claims: they are replaced by a
 * ticket that says so, signed with the server's secret, or with another one behind \x03. */
#ifndef ROWCAST_TESTS_TICKET_ORACLE_H
#define ROWCAST_TESTS_TICKET_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "event/filter.h"

#define ORACLE_SECRET "0123456789abcdef0123456789abcdef"
#define ORACLE_NOW_MS INT64_C(1800000000000)
#define ORACLE_TICKETS_MAX 8

/* What was signed with the server's secret. */
struct ticket_oracle {
    char *tickets[ORACLE_TICKETS_MAX];
    char *claims[ORACLE_TICKETS_MAX];
    size_t count;
    bool any; /* there was a ticket, of any secret */
};

/* What a ticket grants. Zero-initialised: nothing is bounded, nobody is named. */
struct ticket_grant {
    char *sub;
    bool has_channels, has_publish;
    struct patterns channels, publish;
};

/* The text with its tickets in place, to be freed. */
char *ticket_oracle_expand(struct ticket_oracle *oracle, const char *text);

/* Percent-decodes in place; false for a broken escape or a NUL. */
bool ticket_oracle_decode(char *text);

/* The ticket that counts among the parameters (PROTOCOL.md, "Tickets"), to be freed; NULL: none. */
char *ticket_oracle_find(const char *const *envp);

/* Of a ticket that was taken: aborts if it was not to be taken. False for one that the fuzzer has
 * signed by itself, of whose claims nothing is known. */
bool ticket_oracle_read(const struct ticket_oracle *oracle, const char *ticket,
                        struct ticket_grant *grant);

void ticket_grant_fini(struct ticket_grant *grant);
void ticket_oracle_fini(struct ticket_oracle *oracle);

#endif
