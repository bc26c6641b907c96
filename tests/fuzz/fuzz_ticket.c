/* fuzz_ticket.c - tickets, where they stand in a request, and key files, from any bytes.
 *
 * Input: one byte that picks what the rest is: a ticket; the claims of one that is signed; its
 * header, up to a NUL, and claims; the headers Authorization and Cookie; a key file. A ticket that
 * is taken must be signed, says OpenSSL, and say nothing that a ticket may not. */
#include "config.h"

#include "fuzz.h"
#include "hs256.h"
#include "access/ticket.h"
#include "access/find.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW_MS INT64_C(1800000000000)

static void
check_patterns(const struct patterns *patterns)
{
    MUST(patterns->count <= FILTER_PATTERNS_MAX);
    for (size_t i = 0; i < patterns->count; i++) {
        size_t len = strlen(patterns->items[i]);
        MUST(len > 0 && len <= FILTER_PATTERN_MAX);
    }
}

static void
check_taken(const struct ticket *ticket)
{
    MUST(ticket->expires_at_ms == 0 || ticket->expires_at_ms > NOW_MS);
    MUST(ticket->not_before_ms <= NOW_MS + TICKET_NBF_GRACE_MS);
    MUST(ticket->has_channels || ticket->channels.count == 0);
    MUST(ticket->has_publish || ticket->publish.count == 0);
    check_patterns(&ticket->channels);
    check_patterns(&ticket->publish);
    for (const char *p = ticket->sub; p != NULL && *p != '\0'; p++)
        MUST((unsigned char)*p >= ' ' && *p != 0x7f);
    MUST(ticket->sub == NULL || *ticket->sub != '\0');
}

static void
try_ticket(struct slice text)
{
    char secret[] = SECRET;
    struct ticket_keys keys = {
        .items = {{.alg = TICKET_HS256, .bytes = secret, .len = strlen(SECRET)}},
        .count = 1};
    struct ticket_rules rules = {&keys, NULL, NOW_MS};
    struct ticket ticket;
    struct error error = {""};
    int status = ticket_verify(&rules, text, &ticket, &error);
    if (status == 0) {
        MUST(hs256_is_signed(text, SECRET));
        check_taken(&ticket);
    } else {
        MUST(status == 401 && error.text[0] != '\0');
    }
    ticket_fini(&ticket);
}

static void
try_signed(struct slice header, struct slice claims)
{
    char *text = hs256_token(header, claims, SECRET);
    try_ticket(slice_of(text));
    free(text);
}

static void
try_places(struct slice input)
{
    char *authorization = fuzz_take_text(&input);
    char *cookie = fuzz_take_text(&input);
    struct ticket_places places = {authorization, NULL, cookie};
    struct slice ticket;
    struct error error = {""};
    int status = ticket_find(&places, &ticket, &error);
    MUST(status == 0 || (status == 400 && error.text[0] != '\0'));
    if (status == 0 && ticket.p != NULL)
        try_ticket(ticket);
    free(authorization);
    free(cookie);
}

static void
try_keys(struct slice text, enum ticket_use use)
{
    struct error error = {""};
    struct ticket_keys *keys = ticket_keys_parse(text, "file", use, NULL, &error);
    if (keys == NULL)
        MUST(error.text[0] != '\0');
    else
        MUST(keys->count >= 1 && keys->count <= TICKET_KEYS_MAX);
    ticket_keys_free(keys);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    if (size == 0)
        return 0;
    uint8_t kind = fuzz_take_byte(&input);
    char *header;
    switch (kind % 6) {
    case 0:
        try_ticket(input);
        break;
    case 1:
        try_signed(slice_of("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), input);
        break;
    case 2:
        header = fuzz_take_text(&input);
        try_signed(slice_of(header), input);
        free(header);
        break;
    case 3:
        try_places(input);
        break;
    default:
        try_keys(input, kind % 6 == 4 ? TICKET_VERIFIES : TICKET_SIGNS);
    }
    return 0;
}
