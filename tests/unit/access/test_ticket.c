/* test_ticket.c - tickets: their form, keys, signatures and claims; key files; where they stand
 * in a request. Signed by OpenSSL here or by PyJWT beforehand, never by the code under test but
 * where that is what is tested. */
#include "config.h"

#include "access/ticket.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "../../fuzz/hs256.h"
#include "access/find.h"
#include "access/signature.h"
#include "../ticket_samples.h"
#include "../unit.h"

#define TEST_NAME "ticket"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"
#define HEADER "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"
#define NOW_S INT64_C(1800000000)

/* --- helpers -------------------------------------------------------------------------------- */

static struct ticket_keys *
keys_of(const char *text, enum ticket_use use)
{
    struct error error = {""};
    struct ticket_keys *keys = ticket_keys_parse(slice_of(text), "keys", use, NULL, &error);
    CHECK(keys != NULL, "%s\n", error.text);
    return keys;
}

static int
verify(const char *key_file, const char *audience, const char *text, struct error *error)
{
    struct ticket ticket;
    struct ticket_keys *keys = keys_of(key_file, TICKET_VERIFIES);
    struct ticket_rules rules = {keys, audience, NOW_S * 1000};
    error->text[0] = '\0';
    int status = ticket_verify(&rules, slice_of(text), &ticket, error);
    ticket_fini(&ticket);
    ticket_keys_free(keys);
    return status;
}

/* The refusal of a ticket with these parts, "" if there is none. */
static const char *
refusal(struct error *error, const char *header, const char *claims)
{
    char *text = hs256_token(slice_of(header), slice_of(claims), SECRET);
    int status = verify(SECRET, NULL, text, error);
    assert_int_equal(status, error->text[0] == '\0' ? 0 : 401);
    free(text);
    return error->text;
}

static void
assert_refused(const char *key_file, const char *text, const char *reason)
{
    struct error error;
    CHECK(verify(key_file, NULL, text, &error) == 401, "%s: not refused\n", reason);
    CHECK(strstr(error.text, reason) != NULL, "\"%s\" does not say \"%s\"\n", error.text,
          reason);
}

/* --- what a good ticket says ---------------------------------------------------------------- */

static void
test_a_good_ticket_is_read(void **state)
{
    (void)state;
    struct ticket ticket;
    struct error error = {""};
    struct ticket_keys *keys = keys_of(SECRET "\n", TICKET_VERIFIES);
    struct ticket_rules rules = {keys, NULL, NOW_S * 1000};
    char *text = hs256_token(
        slice_of(HEADER),
        slice_of("{\"sub\":\"alice\",\"channels\":[\"b.*\",\"a\"],\"publish\":[\"c\"],"
                 "\"exp\":1800000060.5,\"nbf\":1799999000,\"iat\":1,\"x\":{}}"),
        SECRET);
    assert_int_equal(ticket_verify(&rules, slice_of(text), &ticket, &error), 0);
    assert_string_equal(ticket.sub, "alice");
    assert_true(ticket.has_channels && ticket.has_publish);
    assert_int_equal(ticket.channels.count, 2);
    assert_string_equal(ticket.channels.items[0], "a");
    assert_string_equal(ticket.channels.items[1], "b.*");
    assert_int_equal(ticket.publish.count, 1);
    assert_true(ticket.expires_at_ms == INT64_C(1800000060500));
    ticket_fini(&ticket);
    ticket_keys_free(keys);
    free(text);
}

static void
test_nothing_is_said_by_an_empty_ticket(void **state)
{
    (void)state;
    struct ticket ticket;
    struct error error = {""};
    struct ticket_keys *keys = keys_of(SECRET, TICKET_VERIFIES);
    struct ticket_rules rules = {keys, NULL, NOW_S * 1000};
    char *text = hs256_token(slice_of("{\"alg\":\"HS256\"}"), slice_of("{}"), SECRET);
    assert_int_equal(ticket_verify(&rules, slice_of(text), &ticket, &error), 0);
    assert_null(ticket.sub);
    assert_false(ticket.has_channels || ticket.has_publish);
    assert_true(ticket.expires_at_ms == 0);
    ticket_fini(&ticket);
    ticket_keys_free(keys);
    free(text);
}

/* --- form ----------------------------------------------------------------------------------- */

static void
test_what_is_no_token_is_malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "eyJhbGciOiJIUzI1NiJ9.e30",
        "eyJhbGciOiJIUzI1NiJ9.e30.",
        "eyJhbGciOiJIUzI1NiJ9..AAAA",
        ".e30.AAAA",
        "\"eyJhbGciOiJIUzI1NiJ9.e30.AAAA\"",
        "eyJhbGciOiJIUzI1NiJ9.e30.AAAA.",
        "eyJhbGciOiJIUzI1NiJ9.e30.AAAA=",
        "eyJhbGciOiJIUzI1NiJ9.e30.AA+A",
        "eyJhbGciOiJIUzI1NiJ9.e30.AA%2DA",
        "eyJhbGciOiJIUzI1NiJ9.e31.AAAA" /* bits left over */,
        "e30.e30.AAAA" /* no alg */,
        "W10.e30.AAAA" /* a list */};
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(SECRET, cases[i], "malformed");
    char *huge = calloc(1, TICKET_MAX + 2);
    assert_non_null(huge);
    memset(huge, 'a', TICKET_MAX + 1);
    assert_refused(SECRET, huge, "longer than 8192 bytes");
    free(huge);
}

/* A signed token of which one byte is another: each of them is refused. */
static void
test_each_byte_counts(void **state)
{
    (void)state;
    char *text = hs256_token(slice_of(HEADER), slice_of("{\"sub\":\"alice\"}"), SECRET);
    struct error error;
    assert_int_equal(verify(SECRET, NULL, text, &error), 0);
    for (size_t i = 0; text[i] != '\0'; i++) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        CHECK(verify(SECRET, NULL, text, &error) == 401, "byte %zu\n", i);
        text[i] = kept;
    }
    free(text);
}

static void
test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *reason; /* NULL: it is good */
    } cases[] = {
        {"{\"alg\":\"HS256\"}", NULL},
        {"{\"alg\":\"HS256\",\"typ\":\"jwt\",\"x5u\":\"http://x\"}", NULL},
        {"{\"alg\":\"none\"}", "alg is not that of the server's key"},
        {"{\"alg\":\"None\"}", "alg is not that of"},
        {"{\"alg\":\"hs256\"}", "alg is not that of"},
        {"{\"alg\":\"HS512\"}", "alg is not that of"},
        {"{\"alg\":\"RS256\"}", "alg is not that of"},
        {"{\"alg\":256}", "has no alg"},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", "a member twice"},
        {"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "typ is not JWT"},
        {"{\"alg\":\"HS256\",\"typ\":1}", "typ is not JWT"},
        {"{\"alg\":\"HS256\",\"kid\":1}", "kid is not a string"},
        {"{\"alg\":\"HS256\",\"kid\":\"x\"}", "kid names none"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "crit"},
        {"{\"alg\":\"HS256\"} ", NULL},
        {"{\"alg\":\"HS256\"}x", "not a JSON object"},
    };
    struct error error;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = refusal(&error, cases[i].header, "{}");
        CHECK(cases[i].reason == NULL ? *text == '\0'
                                      : strstr(text, cases[i].reason) != NULL,
              "%s: \"%s\"\n", cases[i].header, text);
    }
}

/* --- claims --------------------------------------------------------------------------------- */

static void
test_claims(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        const char *reason;
    } cases[] = {
        {"{\"exp\":1800000001}", NULL},
        {"{\"exp\":1800000000}", "expired at 2027-01-15T08:00:00Z"},
        {"{\"exp\":0}", "expired at 1970"},
        {"{\"exp\":1799999999.9}", "expired at"},
        {"{\"exp\":1800000000000}", "exp is not a time in seconds"},
        {"{\"exp\":\"1800000001\"}", "exp is not a time"},
        {"{\"exp\":null}", "exp is not a time"},
        {"{\"exp\":true}", "exp is not a time"},
        {"{\"exp\":-1}", "exp is not a time"},
        {"{\"exp\":1e300}", "exp is not a time"},
        {"{\"exp\":1800000001,\"exp\":1900000000}", "a member twice"},
        {"{\"nbf\":1800000005}", NULL},
        {"{\"nbf\":1800000006}", "is not valid before 2027-01-15T08:00:06Z"},
        {"{\"nbf\":\"0\"}", "nbf is not a time"},
        {"{\"sub\":\"Zo\\u00eb\"}", NULL},
        {"{\"sub\":\"\"}", "sub is not a string of"},
        {"{\"sub\":7}", "sub is not a string of"},
        {"{\"sub\":\"a\\nb\"}", "sub is not a string of"},
        {"{\"sub\":\"a\\u007f\"}", "sub is not a string of"},
        {"{\"sub\":\"a\\u0000b\"}", "malformed"},
        {"{\"sub\":\"\xff\"}", "malformed"},
        {"{\"channels\":[]}", NULL},
        {"{\"channels\":\"a\"}", "channels is not a list"},
        {"{\"channels\":{\"0\":\"a\"}}", "channels is not a list"},
        {"{\"channels\":null}", "channels is not a list"},
        {"{\"channels\":[1]}", "channels is not a list of patterns"},
        {"{\"channels\":[\"\"]}", "a pattern in its channels is empty"},
        {"{\"channels\":[\"a\\nb\"]}", "a pattern in its channels"},
        {"{\"publish\":[[\"a\"]]}", "publish is not a list of patterns"},
        {"{\"aud\":\"x\"}", "for another audience"},
        {"[]", "not a JSON object"},
        {"", "malformed"},
    };
    struct error error;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = refusal(&error, HEADER, cases[i].claims);
        CHECK(cases[i].reason == NULL ? *text == '\0'
                                      : strstr(text, cases[i].reason) != NULL,
              "%s: \"%s\"\n", cases[i].claims, text);
    }
}

static void
test_a_ticket_has_at_most_64_patterns(void **state)
{
    (void)state;
    struct error error;
    for (int count = FILTER_PATTERNS_MAX; count <= FILTER_PATTERNS_MAX + 1; count++) {
        char claims[2048] = "{\"channels\":[\"c0\"";
        for (int i = 1; i < count; i++) {
            size_t len = strlen(claims);
            snprintf(claims + len, sizeof claims - len, ",\"c%d\"", i);
        }
        strcat(claims, "]}");
        const char *text = refusal(&error, HEADER, claims);
        CHECK((*text == '\0') == (count == FILTER_PATTERNS_MAX), "%d: \"%s\"\n", count,
              text);
    }
}

static void
test_audiences(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        bool good;
    } cases[] = {
        {"{\"aud\":\"events\"}", true},
        {"{\"aud\":[\"a\",\"events\"]}", true},
        {"{\"aud\":\"Events\"}", false},
        {"{\"aud\":\"events2\"}", false},
        {"{\"aud\":[]}", false},
        {"{\"aud\":[[\"events\"]]}", false},
        {"{\"aud\":{\"a\":\"events\"}}", false},
        {"{\"aud\":null}", false},
        {"{}", false},
    };
    struct error error;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text = hs256_token(slice_of(HEADER), slice_of(cases[i].claims), SECRET);
        int status = verify(SECRET, "events", text, &error);
        CHECK(status == (cases[i].good ? 0 : 401), "%s: %s\n", cases[i].claims, error.text);
        CHECK(cases[i].good || strstr(error.text, "audience") != NULL, "%s\n", error.text);
        free(text);
    }
}

/* No error may hold a piece of the ticket; times are all that it may repeat. */
static void
test_errors_quote_nothing(void **state)
{
    (void)state;
    static const char *const claims[] = {
        "{\"sub\":\"SECRETWORD\\n\"}", "{\"channels\":[\"SECRETWORD\\n\"]}",
        "{\"aud\":\"SECRETWORD\"}", "{\"exp\":\"SECRETWORD\"}", "SECRETWORD"};
    struct error error;
    for (size_t i = 0; i < COUNT(claims); i++) {
        assert_true(*refusal(&error, HEADER, claims[i]) != '\0');
        assert_null(strstr(error.text, "SECRETWORD"));
    }
    refusal(&error, "{\"alg\":\"SECRETWORD\"}", "{}");
    assert_null(strstr(error.text, "SECRETWORD"));
    refusal(&error, "{\"alg\":\"HS256\",\"kid\":\"SECRETWORD\"}", "{}");
    assert_null(strstr(error.text, "SECRETWORD"));
}

/* --- keys ----------------------------------------------------------------------------------- */

static void
test_public_keys_verify(void **state)
{
    (void)state;
    struct error error;
    CHECK(verify(RSA_PUBLIC, NULL, RSA_TOKEN, &error) == 0, "%s\n", error.text);
    CHECK(verify(EC_PUBLIC, NULL, EC_TOKEN, &error) == 0, "%s\n", error.text);
    assert_refused(RSA_PUBLIC, EC_TOKEN, "alg is not that of");
    assert_refused(EC_PUBLIC, RSA_TOKEN, "alg is not that of");
    assert_refused(SECRET, RSA_TOKEN, "alg is not that of");
    /* One byte of the signature changed. */
    char text[] = EC_TOKEN;
    char *last = strrchr(text, '.') + 1;
    *last = *last == 'A' ? 'B' : 'A';
    assert_refused(EC_PUBLIC, text, "signature is wrong");
}

/* The attack: who has the public key signs with HS256 and its text as the secret. */
static void
test_a_public_key_is_no_secret(void **state)
{
    (void)state;
    static const char *const keys[] = {RSA_PUBLIC, EC_PUBLIC};
    for (size_t i = 0; i < COUNT(keys); i++) {
        char trimmed[2048];
        snprintf(trimmed, sizeof trimmed, "%s", keys[i]);
        trimmed[strlen(trimmed) - 1] = '\0';
        char *whole = hs256_token(slice_of(HEADER), slice_of("{}"), keys[i]);
        char *cut = hs256_token(slice_of(HEADER), slice_of("{}"), trimmed);
        assert_refused(keys[i], whole, "alg is not that of");
        assert_refused(keys[i], cut, "alg is not that of");
        char file[4096];
        snprintf(file, sizeof file, "%s\nkid: a\n%s", SECRET, keys[i]);
        assert_refused(file, whole, "signature is wrong");
        assert_refused(file, cut, "signature is wrong");
        free(whole);
        free(cut);
    }
}

static void
test_a_kid_picks_the_key(void **state)
{
    (void)state;
    static const char file[] = "# two\nkid: new\n" SECRET "\n\nkid:old\r\n" OTHER "\n"
                               "kid: rsa\n" RSA_PUBLIC;
    struct error error;
    char *with_new = hs256_token(slice_of("{\"alg\":\"HS256\",\"kid\":\"new\"}"),
                                 slice_of("{}"), SECRET);
    char *old_as_new =
        hs256_token(slice_of("{\"alg\":\"HS256\",\"kid\":\"new\"}"), slice_of("{}"), OTHER);
    char *rsa = hs256_token(slice_of("{\"alg\":\"HS256\",\"kid\":\"rsa\"}"), slice_of("{}"),
                            SECRET);
    char *without = hs256_token(slice_of(HEADER), slice_of("{}"), OTHER);
    char *foreign = hs256_token(slice_of(HEADER), slice_of("{}"), SECRET OTHER);
    CHECK(verify(file, NULL, with_new, &error) == 0, "%s\n", error.text);
    CHECK(verify(file, NULL, without, &error) == 0, "%s\n", error.text);
    CHECK(verify(file, NULL, RSA_TOKEN, &error) == 0, "%s\n", error.text);
    assert_refused(file, old_as_new, "signature is wrong");
    assert_refused(file, rsa, "alg is not that of the server's key of that kid");
    assert_refused(file, foreign, "signature is wrong");
    assert_refused(file, EC_TOKEN, "alg is not that of any of the server's keys");
    assert_refused(OTHER, with_new, "kid names none");
    free(with_new);
    free(old_as_new);
    free(rsa);
    free(without);
    free(foreign);
}

/* ticket.c calls signature_check by way of this (the linker's --wrap). */
static size_t tries;

enum signature_verdict __real_signature_check(const struct ticket_key *key,
                                              struct slice text, struct slice signature);
enum signature_verdict __wrap_signature_check(const struct ticket_key *key,
                                              struct slice text, struct slice signature);

enum signature_verdict
__wrap_signature_check(const struct ticket_key *key, struct slice text,
                       struct slice signature)
{
    tries++;
    return __real_signature_check(key, text, signature);
}

/* Whatever a stranger sends, four keys at most are tried, and of those that the ticket can be
 * signed with: the others need a kid. */
static void
test_without_a_kid_the_tries_are_few(void **state)
{
    (void)state;
    char file[8192] = "";
    char secret[64];
    struct error error;
    for (int i = 0; i < 6; i++) {
        size_t len = strlen(file);
        snprintf(file + len, sizeof file - len, "kid: k%d\n%s%d\nkid: e%d\n%s", i, SECRET,
                 i, i, EC_PUBLIC);
    }
    for (int i = 0; i < 6; i++) {
        snprintf(secret, sizeof secret, "%s%d", SECRET, i);
        char *text = hs256_token(slice_of(HEADER), slice_of("{}"), secret);
        tries = 0;
        assert_int_equal(verify(file, NULL, text, &error), i < TICKET_TRIES_MAX ? 0 : 401);
        assert_int_equal(tries, i < TICKET_TRIES_MAX ? i + 1 : TICKET_TRIES_MAX);
        free(text);
        char header[64];
        snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"k%d\"}", i);
        text = hs256_token(slice_of(header), slice_of("{}"), secret);
        tries = 0;
        assert_int_equal(verify(file, NULL, text, &error), 0);
        assert_int_equal(tries, 1);
        free(text);
    }
    tries = 0;
    assert_refused(file, RSA_TOKEN, "alg is not that of any of the server's keys");
    assert_int_equal(tries, 0);
}

static void
test_bad_key_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"", "keys: no key in it"},
        {"\n# only a comment\n\n", "no key in it"},
        {"kid: a\n", "line 1: a kid: without a key"},
        {"kid: a\nkid: b\n" SECRET, "line 1: a kid: without a key"},
        {"kid:\n" SECRET, "line 1: kid: needs a name"},
        {"kid: a\n" SECRET "\nkid: a\n" OTHER, "line 3: this kid is there already"},
        {SECRET "\n" OTHER "\n", "line 2: a second key"},
        {SECRET " \n", "line 1: a space"},
        {" " SECRET "\n", "line 1: a space"},
        {SECRET "\r\n", "carriage return"},
        {"abc\x01xyz\n", "line 1: a control character"},
        {"-----BEGIN PUBLIC KEY-----\nMII=\n", "line 1: a PEM block without its"},
        {"-----BEGIN PUBLIC KEY-----\nMII=\n-----END PUBLIC KEY-----\n",
         "line 1: a public key that cannot be read"},
        {"-----BEGIN PRIVATE KEY-----\nMII=\n-----END PRIVATE KEY-----\n",
         "line 1: a private key; give the public key"},
        {"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
         "line 1: not a public key"},
        {"# x\n" RSA_1024_PUBLIC, "line 2: an RSA key of 1024 bits"},
        {EC_384_PUBLIC, "an EC key on the curve secp384r1"},
        {ED_PUBLIC, "neither an RSA nor an EC key"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = {""};
        struct ticket_keys *keys = ticket_keys_parse(slice_of(cases[i].text), "keys",
                                                     TICKET_VERIFIES, NULL, &error);
        CHECK(keys == NULL, "%s: taken\n", cases[i].reason);
        CHECK(strstr(error.text, cases[i].reason) != NULL, "\"%s\" does not say \"%s\"\n",
              error.text, cases[i].reason);
        assert_null(strstr(error.text, "0123456789"));
    }
}

static void
test_a_file_has_at_most_16_keys(void **state)
{
    (void)state;
    char text[4096] = "";
    struct error error = {""};
    for (int i = 0; i <= TICKET_KEYS_MAX; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "kid: k%d\n%s\n", i, SECRET);
    }
    assert_null(ticket_keys_parse(slice_of(text), "keys", TICKET_VERIFIES, NULL, &error));
    assert_non_null(strstr(error.text, "line 34: more than 16 keys"));
}

/* --- signing -------------------------------------------------------------------------------- */

/* A new key pair as the two key files. To be freed. */
static void
make_pair(EVP_PKEY *key, char **private_file, char **public_file)
{
    assert_non_null(key);
    for (int i = 0; i < 2; i++) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        assert_true((i == 0 ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                            : PEM_write_bio_PUBKEY(bio, key)) == 1);
        size_t len = (size_t)BIO_get_mem_data(bio, &text);
        *(i == 0 ? private_file : public_file) = strndup(text, len);
        BIO_free(bio);
    }
    EVP_PKEY_free(key);
}

static void
assert_signs(const char *private_file, const char *public_file, const char *alg)
{
    struct error error = {""};
    char channel[] = "news";
    char *items[] = {channel};
    char sub[] = "bob \"q\" \xc3\xab";
    struct ticket ticket = {.sub = sub,
                            .channels = {items, 1},
                            .has_channels = true,
                            .has_publish = true,
                            .expires_at_ms = (NOW_S + 60) * 1000,
                            .not_before_ms = NOW_S * 1000};
    struct ticket read;
    struct ticket_keys *private_keys = keys_of(private_file, TICKET_SIGNS);
    struct ticket_keys *public_keys = keys_of(public_file, TICKET_VERIFIES);
    struct ticket_rules rules = {public_keys, "here", NOW_S * 1000};
    assert_string_equal(ticket_alg_name(private_keys->items[0].alg), alg);
    char *text = ticket_sign(&private_keys->items[0], &ticket, "here", &error);
    CHECK(text != NULL, "%s\n", error.text);
    CHECK(ticket_verify(&rules, slice_of(text), &read, &error) == 0, "%s\n", error.text);
    assert_string_equal(read.sub, sub);
    assert_true(read.has_channels && read.has_publish && read.publish.count == 0);
    assert_string_equal(read.channels.items[0], "news");
    assert_true(read.expires_at_ms == ticket.expires_at_ms);
    assert_true(read.not_before_ms == ticket.not_before_ms);
    ticket_fini(&read);
    free(text);
    ticket_keys_free(private_keys);
    ticket_keys_free(public_keys);
}

static void
test_what_is_signed_verifies(void **state)
{
    (void)state;
    char *private_file = NULL, *public_file = NULL;
    assert_signs(SECRET, SECRET, "HS256");
    assert_signs("kid: a\n" SECRET, "kid: b\n" OTHER "\nkid: a\n" SECRET, "HS256");
    make_pair(EVP_RSA_gen(2048), &private_file, &public_file);
    assert_signs(private_file, public_file, "RS256");
    free(private_file);
    free(public_file);
    make_pair(EVP_EC_gen("P-256"), &private_file, &public_file);
    assert_signs(private_file, public_file, "ES256");
    struct error error = {""};
    assert_null(
        ticket_keys_parse(slice_of(private_file), "keys", TICKET_VERIFIES, NULL, &error));
    assert_non_null(strstr(error.text, "give the public key"));
    assert_null(
        ticket_keys_parse(slice_of(public_file), "keys", TICKET_SIGNS, NULL, &error));
    assert_non_null(strstr(error.text, "needs the private key"));
    free(private_file);
    free(public_file);
}

static void
test_a_ticket_that_would_be_too_long_is_not_signed(void **state)
{
    (void)state;
    struct error error = {""};
    struct ticket ticket = {.has_channels = true};
    struct ticket_keys *keys = keys_of(SECRET, TICKET_SIGNS);
    for (int i = 0; i < FILTER_PATTERNS_MAX; i++) {
        char name[FILTER_PATTERN_MAX + 1];
        snprintf(name, sizeof name, "%0200d", i);
        assert_int_equal(patterns_add(&ticket.channels, slice_of(name)), PATTERNS_OK);
    }
    assert_null(ticket_sign(&keys->items[0], &ticket, NULL, &error));
    assert_non_null(strstr(error.text, "longer than 8192 bytes"));
    ticket_fini(&ticket);
    ticket_keys_free(keys);
}

/* --- places --------------------------------------------------------------------------------- */

static void
test_places(void **state)
{
    (void)state;
    static const struct {
        struct ticket_places places;
        const char *found; /* NULL: none */
    } cases[] = {
        {{NULL, NULL, NULL}, NULL},
        {{"Bearer h", "p", "rowcast_ticket=c"}, "h"},
        {{"bEARER \t h ", "p", NULL}, "h"},
        {{"Bearer", "p", NULL}, ""},
        {{"Bearer ", NULL, "rowcast_ticket=c"}, ""},
        {{"Bearerx h", "p", NULL}, "p"},
        {{"Basic eDp5", "p", "rowcast_ticket=c"}, "p"},
        {{"Basic eDp5", NULL, "rowcast_ticket=c"}, "c"},
        {{"", NULL, "rowcast_ticket=c"}, "c"},
        {{NULL, NULL, "a=b; rowcast_ticket=c; d=e"}, "c"},
        {{NULL, NULL, "a=b;rowcast_ticket = c ;d"}, "c"},
        {{NULL, NULL, "xrowcast_ticket=c; rowcast_ticketx=d; Rowcast_Ticket=e"}, NULL},
        {{NULL, NULL, "rowcast_ticket=c; rowcast_ticket=c"}, "c"},
        {{NULL, NULL, "rowcast_ticket=\"c\""}, "\"c\""},
        {{NULL, NULL, "rowcast_ticket"}, ""},
        {{NULL, NULL, "a=rowcast_ticket=c"}, NULL},
        {{NULL, NULL, ";;; ; "}, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice found;
        struct error error = {""};
        assert_int_equal(ticket_find(&cases[i].places, &found, &error), 0);
        CHECK(slice_equal(found, slice_of(cases[i].found)), "case %zu: \"%.*s\"\n", i,
              (int)found.len, found.p == NULL ? "" : found.p);
    }
}

static void
test_two_cookies_that_differ_are_refused(void **state)
{
    (void)state;
    struct slice found;
    struct error error = {""};
    struct ticket_places places = {NULL, NULL, "rowcast_ticket=a; x=y; rowcast_ticket=b"};
    assert_int_equal(ticket_find(&places, &found, &error), 400);
    assert_non_null(strstr(error.text, "two cookies rowcast_ticket"));
    places.parameter = "p";
    assert_int_equal(ticket_find(&places, &found, &error), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_ticket_is_read),
        cmocka_unit_test(test_nothing_is_said_by_an_empty_ticket),
        cmocka_unit_test(test_what_is_no_token_is_malformed),
        cmocka_unit_test(test_each_byte_counts),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_a_ticket_has_at_most_64_patterns),
        cmocka_unit_test(test_audiences),
        cmocka_unit_test(test_errors_quote_nothing),
        cmocka_unit_test(test_public_keys_verify),
        cmocka_unit_test(test_a_public_key_is_no_secret),
        cmocka_unit_test(test_a_kid_picks_the_key),
        cmocka_unit_test(test_without_a_kid_the_tries_are_few),
        cmocka_unit_test(test_bad_key_files),
        cmocka_unit_test(test_a_file_has_at_most_16_keys),
        cmocka_unit_test(test_what_is_signed_verifies),
        cmocka_unit_test(test_a_ticket_that_would_be_too_long_is_not_signed),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_two_cookies_that_differ_are_refused),
    };
    return RUN(tests);
}
