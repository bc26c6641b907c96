/* test_push.c - the pure parts of Web Push: encryption on the vectors of the RFCs, endpoints and
 * addresses, answers, messages. */
#include "config.h"

#include "../unit.h"

#define TEST_NAME "push"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include "base/base64url.h"
#include "push/address.h"
#include "push/answer.h"
#include "push/ece.h"
#include "push/hosts.h"
#include "push/message.h"
#include "push/recent.h"
#include "push/subscription.h"
#include "push/vapid.h"

/* RFC 8291 section 5 and appendix A. */
#define VECTOR_TEXT "When I grow up, I want to be a watermelon"
#define VECTOR_RECEIVER                                                                    \
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIA" \
    "iw4"
#define VECTOR_AUTH "BTBZMqHH6r4Tts7J_aSIgg"
#define VECTOR_SALT "DGv6ra1nlYgDCS1FRnbzlw"
#define VECTOR_MESSAGE                                                                     \
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLoc" \
    "InmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLV" \
    "WGNWQexSgSxsj_Qulcy4a-fN"
/* The sender's private key yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw, as PKCS 8. */
#define VECTOR_SENDER_DER                                                                  \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyfWPiYE-n46HLnH0KqZOF1fJJU3MYrct"     \
    "3AELtAQ-oRyhRANCAAT-M_SrDepxkU21WCP3O1SUj0EwbZIHMtu5pZpTKGSCIA5Zent7wmC6HCJ5mFgJ"     \
    "kuk5cwAvMBKiiujwa7t45ewP"

static struct buf
decoded(const char *text)
{
    struct buf bytes = {0};
    assert_int_equal(base64url_decode(&bytes, slice_of(text)), 0);
    return bytes;
}

/* RFC 8188 section 3.1: key material that both know, no key id. */
static void
test_encrypts_as_rfc8188(void **state)
{
    struct buf out = {0}, text = {0};
    struct buf salt = decoded("I1BsxtFttlv3u_Oo94xnmw"),
               ikm = decoded("yqdlZ-tYemfogSmv7Ws5PQ");
    const struct ece_secret secret = {.salt = (const unsigned char *)salt.p,
                                      .ikm = buf_slice(&ikm)};
    (void)state;
    assert_int_equal(ece_append_content(&out, &secret, slice_of("I am the walrus")), 0);
    base64url_append(&text, out.p, out.len);
    buf_append(&text, "", 1);
    assert_string_equal(text.p, "I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3"
                                "MEB1PD-ly8Thjg");
    buf_fini(&out);
    buf_fini(&text);
    buf_fini(&salt);
    buf_fini(&ikm);
}

static void
test_encrypts_as_rfc8291(void **state)
{
    struct ece_keys keys;
    struct ece_chance chance;
    struct error error;
    struct buf out = {0}, text = {0};
    struct buf der = decoded(VECTOR_SENDER_DER), salt = decoded(VECTOR_SALT);
    const unsigned char *p = (const unsigned char *)der.p;
    (void)state;
    chance.key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
    assert_non_null(chance.key);
    memcpy(chance.salt, salt.p, ECE_SALT_BYTES);
    assert_int_equal(
        ece_keys_parse(&keys, slice_of(VECTOR_RECEIVER), slice_of(VECTOR_AUTH), &error), 0);
    assert_int_equal(ece_encrypt(&out, &keys, slice_of(VECTOR_TEXT), &chance, &error), 0);
    base64url_append(&text, out.p, out.len);
    buf_append(&text, "", 1);
    assert_string_equal(text.p, VECTOR_MESSAGE);
    EVP_PKEY_free(chance.key);
    buf_fini(&out);
    buf_fini(&text);
    buf_fini(&der);
    buf_fini(&salt);
}

static void
test_two_messages_differ(void **state)
{
    struct ece_keys keys;
    struct error error;
    struct buf a = {0}, b = {0};
    char longest[ECE_TEXT_MAX + 1];
    (void)state;
    memset(longest, 'x', sizeof longest);
    ece_keys_parse(&keys, slice_of(VECTOR_RECEIVER), slice_of(VECTOR_AUTH), &error);
    struct slice fits = {longest, ECE_TEXT_MAX};
    assert_int_equal(ece_encrypt(&a, &keys, fits, NULL, &error), 0);
    assert_int_equal(ece_encrypt(&b, &keys, fits, NULL, &error), 0);
    assert_int_equal(a.len, ECE_MESSAGE_MAX);
    assert_memory_not_equal(a.p, b.p, ECE_SALT_BYTES);
    assert_int_equal(
        ece_encrypt(&a, &keys, (struct slice){longest, sizeof longest}, NULL, &error), -1);
    buf_fini(&a);
    buf_fini(&b);
}

static void
test_refuses_keys(void **state)
{
    struct ece_keys keys;
    struct error error;
    char off_curve[] = VECTOR_RECEIVER;
    (void)state;
    off_curve[80] = off_curve[80] == 'A' ? 'B' : 'A';
    assert_int_equal(
        ece_keys_parse(&keys, slice_of(off_curve), slice_of(VECTOR_AUTH), &error), -1);
    assert_int_equal(ece_keys_parse(&keys, slice_of("BCVx"), slice_of(VECTOR_AUTH), &error),
                     -1);
    assert_int_equal(
        ece_keys_parse(&keys, slice_of(VECTOR_RECEIVER), slice_of("BTBZ"), &error), -1);
    assert_int_equal(ece_keys_parse(&keys, slice_of(VECTOR_RECEIVER "="),
                                    slice_of(VECTOR_AUTH "=="), &error),
                     0);
}

static void
test_endpoints(void **state)
{
    static const struct {
        const char *endpoint;
        int result;
        const char *origin;
    } cases[] = {
        {"https://fcm.googleapis.com/fcm/send/a:b_c-d", 0, "https://fcm.googleapis.com"},
        {"https://FCM.googleapis.COM:443/x", 0, "https://fcm.googleapis.com"},
        {"https://updates.push.services.mozilla.com/wpush/v2/x", 0,
         "https://updates.push.services.mozilla.com"},
        {"https://wns2-par02p.notify.windows.com/w/?token=BQYA%2b", 0,
         "https://wns2-par02p.notify.windows.com"},
        {"https://web.push.apple.com/QGz", 0, "https://web.push.apple.com"},
        {"http://fcm.googleapis.com/x", -1, NULL},
        {"https://fcm.googleapis.com:8443/x", -1, NULL},
        {"https://fcm.googleapis.com", -1, NULL},
        {"https://fcm.googleapis.com.evil.example/x", -1, NULL},
        {"https://evilfcm.googleapis.com/x", -1, NULL},
        {"https://fcm.googleapis.com@evil.example/x", -1, NULL},
        {"https://a:b@fcm.googleapis.com/x", -1, NULL},
        {"https://fcm.googleapis.com\\@evil.example/x", -1, NULL},
        {"https://fcm.googleapis.com/x#y", -1, NULL},
        {"https://fcm.googleapis.com/x y", -1, NULL},
        {"https://127.0.0.1/x", -1, NULL},
        {"https://0x7f.1/x", -1, NULL},
        {"https://[::1]/x", -1, NULL},
        {"https://.notify.windows.com/x", -1, NULL},
        {"https://notify.windows.com/x", -1, NULL},
        {"https:///x", -1, NULL},
        {"ftp://fcm.googleapis.com/x", -1, NULL},
        {"//fcm.googleapis.com/x", -1, NULL},
        {"", -1, NULL},
    };
    const struct text_list none = {.count = 0};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct push_origin origin;
        struct error error = {""};
        int result = push_endpoint_check(cases[i].endpoint, &none, &origin, &error);
        CHECK(result == cases[i].result, "%s: %s\n", cases[i].endpoint, error.text);
        if (result == 0)
            assert_string_equal(origin.text, cases[i].origin);
        if (result == 0)
            assert_false(origin.is_own);
    }
}

static void
test_own_origins(void **state)
{
    const struct text_list hosts = {
        .items = {"http://127.0.0.1:8123", "https://[::1]:9", "push.example.org"},
        .count = 3};
    static const struct text_list bad[] = {
        {.items = {"http://127.0.0.1:8123/x"}, .count = 1},
        {.items = {"127.0.0.1"}, .count = 1},
        {.items = {"*"}, .count = 1},
        {.items = {"a b"}, .count = 1}};
    struct push_origin origin;
    struct error error;
    (void)state;
    assert_int_equal(push_hosts_check(&hosts, &error), 0);
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK(push_hosts_check(&bad[i], &error) == -1, "%s\n", bad[i].items[0]);
    assert_int_equal(
        push_endpoint_check("http://127.0.0.1:8123/p", &hosts, &origin, &error), 0);
    assert_true(origin.is_own);
    assert_int_equal(push_endpoint_check("https://[::1]:9/p", &hosts, &origin, &error), 0);
    assert_int_equal(
        push_endpoint_check("http://127.0.0.1:8124/p", &hosts, &origin, &error), -1);
    assert_int_equal(
        push_endpoint_check("http://push.example.org/p", &hosts, &origin, &error), -1);
    /* The vendors are no longer among them. */
    assert_int_equal(
        push_endpoint_check("https://fcm.googleapis.com/p", &hosts, &origin, &error), -1);
}

static void
test_endpoints_are_not_quoted(void **state)
{
    struct push_origin origin;
    struct error error = {""};
    char ref[PUSH_REF_MAX];
    const struct text_list none = {.count = 0};
    (void)state;
    push_endpoint_check("https://elsewhere.example/SECRET", &none, &origin, &error);
    assert_null(strstr(error.text, "SECRET"));
    assert_null(strstr(push_endpoint_ref(ref, "https://a.example/SECRET"), "SECRET"));
    assert_int_equal(strlen(ref), strlen("a.example#01234567"));
}

static void
test_addresses(void **state)
{
    static const struct {
        const char *text;
        bool is_public;
    } cases[] = {{"142.250.74.10", true},
                 {"127.0.0.1", false},
                 {"10.1.2.3", false},
                 {"172.16.0.1", false},
                 {"172.15.0.1", true},
                 {"192.168.1.1", false},
                 {"169.254.169.254", false},
                 {"100.64.0.1", false},
                 {"0.0.0.0", false},
                 {"224.0.0.1", false},
                 {"255.255.255.255", false},
                 {"2a00:1450:4001::200a", true},
                 {"::1", false},
                 {"::", false},
                 {"fe80::1", false},
                 {"fd00::1", false},
                 {"ff02::1", false},
                 {"::ffff:127.0.0.1", false},
                 {"::ffff:142.250.74.10", true},
                 {"64:ff9b::7f00:1", false},
                 {"64:ff9b::8efa:4a0a", true},
                 {"2002:7f00:1::", false},
                 {"2001:db8::1", false},
                 {"2001::1", false}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool is_v6 = strchr(cases[i].text, ':') != NULL;
        assert_int_equal(is_v6 ? inet_pton(AF_INET6, cases[i].text, &v6.sin6_addr)
                               : inet_pton(AF_INET, cases[i].text, &v4.sin_addr),
                         1);
        const void *address = is_v6 ? (const void *)&v6 : (const void *)&v4;
        CHECK(push_address_is_public(address) == cases[i].is_public, "%s\n", cases[i].text);
    }
}

static void
test_answers(void **state)
{
    (void)state;
    assert_int_equal(push_answer_judge(201), PUSH_SENT);
    assert_int_equal(push_answer_judge(404), PUSH_ENDED);
    assert_int_equal(push_answer_judge(410), PUSH_ENDED);
    assert_int_equal(push_answer_judge(413), PUSH_TOO_LONG);
    static const int kept[] = {400, 401, 403, 429};
    static const int down[] = {0, 301, 307, 500, 502, 503, 203, 599};
    for (size_t i = 0; i < COUNT(kept); i++)
        assert_int_equal(push_answer_judge(kept[i]), PUSH_REFUSED);
    for (size_t i = 0; i < COUNT(down); i++)
        assert_int_equal(push_answer_judge(down[i]), PUSH_UNAVAILABLE);
}

static void
test_retry_after(void **state)
{
    /* Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 */
    const int64_t date = INT64_C(784111777000);
    (void)state;
    assert_int_equal(push_answer_wait_ms("120", 0), 120000);
    assert_int_equal(push_answer_wait_ms("0", 0), 0);
    assert_int_equal(push_answer_wait_ms("99999999999999999999", 0),
                     PUSH_RETRY_AFTER_MAX_MS);
    assert_int_equal(push_answer_wait_ms("Sun, 06 Nov 1994 08:49:37 GMT", date - 5000),
                     5000);
    assert_int_equal(push_answer_wait_ms("Sunday, 06-Nov-94 08:49:37 GMT", date - 5000),
                     5000);
    assert_int_equal(push_answer_wait_ms("Sun Nov  6 08:49:37 1994", date - 5000), 5000);
    assert_int_equal(push_answer_wait_ms("Sun, 06 Nov 1994 08:49:37 GMT", date + 1), 0);
    assert_int_equal(push_answer_wait_ms("Sun, 06 Nov 1994 08:49:37 GMT", 0),
                     PUSH_RETRY_AFTER_MAX_MS);
    assert_int_equal(push_answer_wait_ms("soon", 0), -1);
    assert_int_equal(push_answer_wait_ms("-5", 0), -1);
    assert_int_equal(push_answer_wait_ms("5 x", 0), -1);
    for (int64_t failures = -5; failures < 200; failures++) {
        int64_t wait = push_backoff_ms(failures, 12345);
        assert_true(wait >= PUSH_WAIT_FIRST_MS / 2 && wait <= PUSH_WAIT_MAX_MS);
    }
}

static void
test_messages(void **state)
{
    struct row row = {.id = 7,
                      .created_at = 5,
                      .channel = slice_of("orders"),
                      .data = slice_of("{\"title\":\"a\",\"url\":\"/x\",\"quiet\":true}"),
                      .collapse_key = slice_of("k")};
    struct push_text text = {.length = PUSH_WHOLE, .max_event_bytes = 4096};
    struct buf buf = {0};
    char topic[PUSH_TOPIC_TEXT], other[PUSH_TOPIC_TEXT];
    char *longer = malloc(8000);
    (void)state;
    push_message_append(&buf, &row, &text);
    buf_append(&buf, "", 1);
    assert_string_equal(buf.p, "{\"id\":\"7\",\"channel\":\"orders\",\"event\":\"message\","
                               "\"data\":\"{\\\"title\\\":\\\"a\\\",\\\"url\\\":\\\"/x\\\","
                               "\\\"quiet\\\":true}\",\"created_at\":5}");
    assert_string_equal(push_message_urgency(&row), "low");
    assert_true(push_message_topic(topic, &row));
    assert_int_equal(strlen(topic), 32);
    row.recipient = slice_of("ann");
    push_message_topic(other, &row);
    assert_string_not_equal(topic, other);
    buf_clear(&buf);
    text.page = "https://app.example/page?x";
    push_message_append(&buf, &row, &text);
    buf_append(&buf, "", 1);
    assert_string_equal(
        buf.p, "{\"web_push\":8030,\"notification\":{\"title\":\"a\",\"body\":\"\","
               "\"tag\":\"rowcast--7\",\"navigate\":\"https://app.example/x\","
               "\"silent\":true}}");
    buf_clear(&buf);
    memset(longer, 'x', 8000);
    row.data = (struct slice){longer, 8000};
    push_message_append(&buf, &row, &text);
    buf_append(&buf, "", 1);
    assert_string_equal(buf.p, "{\"id\":\"7\",\"channel\":\"orders\",\"too_long\":true}");
    buf_clear(&buf);
    row.channel = (struct slice){longer, 8000};
    push_message_append(&buf, &row, &text);
    buf_append(&buf, "", 1);
    assert_string_equal(buf.p, "{\"id\":\"7\",\"too_long\":true}");
    assert_int_equal(push_message_ttl_s(&row, 0), PUSH_TTL_MAX_S);
    row.expires_at = 10001;
    assert_int_equal(push_message_ttl_s(&row, 0), 11);
    assert_int_equal(push_message_ttl_s(&row, 20000), 1);
    free(longer);
    buf_fini(&buf);
}

static void
test_wishes(void **state)
{
#define KEYS "\"keys\":{\"p256dh\":\"" VECTOR_RECEIVER "\",\"auth\":\"" VECTOR_AUTH "\"}"
#define GOOD "{\"endpoint\":\"https://a/b\"," KEYS ",\"channels\":[\"orders\",\"a*\"]"
    static const struct {
        const char *body;
        int status;
    } cases[] = {{GOOD "}", 0},
                 {GOOD ",\"absent\":true,\"expirationTime\":null,\"new\":[]}", 0},
                 {GOOD ",\"absent\":1,\"declarative\":\"https://a/\"}", 0},
                 {GOOD ",\"absent\":2}", 400},
                 {GOOD ",\"absent\":\"yes\"}", 400},
                 {GOOD ",\"expirationTime\":\"x\"}", 400},
                 {GOOD ",\"declarative\":\"javascript:x\"}", 400},
                 {"{\"endpoint\":\"https://a/b\"," KEYS "}", 400},
                 {"{\"endpoint\":\"https://a/b\"," KEYS ",\"channels\":[]}", 400},
                 {"{\"endpoint\":\"https://a/b\"," KEYS ",\"channels\":[7]}", 400},
                 {"{\"endpoint\":\"https://a/b\",\"channels\":[\"x\"]}", 400},
                 {"{" KEYS ",\"channels\":[\"x\"]}", 400},
                 {"{\"endpoint\":\"a\\u0000b\"," KEYS ",\"channels\":[\"x\"]}", 400},
                 {"[]", 400},
                 {"", 400},
                 {"{\"endpoint\":7}", 400}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct push_wish wish;
        struct error error = {""};
        int status =
            push_wish_parse(&wish, slice_of(cases[i].body), PUSH_SUBSCRIBES, &error);
        CHECK(status == cases[i].status, "%s: %d %s\n", cases[i].body, status, error.text);
        assert_null(strstr(error.text, VECTOR_AUTH));
        push_wish_fini(&wish);
    }
    struct push_wish wish;
    struct error error;
    assert_int_equal(push_wish_parse(&wish, slice_of("{\"endpoint\":\"https://a/b\"}"),
                                     PUSH_UNSUBSCRIBES, &error),
                     0);
    push_wish_fini(&wish);
}

static void
test_patterns_in_json(void **state)
{
    struct patterns patterns = {0};
    struct buf buf = {0};
    (void)state;
    assert_int_equal(
        push_patterns_parse(&patterns, slice_of("[\"b*\",\"a\"]"), PATTERNS_GRANTED), 0);
    push_patterns_append(&buf, &patterns);
    buf_append(&buf, "", 1);
    assert_string_equal(buf.p, "[\"a\",\"b*\"]");
    patterns_fini(&patterns);
    static const char *const bad[] = {"", "x", "{}", "[1]", "[\"\"]", "\"a\""};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(push_patterns_parse(&patterns, slice_of(bad[i]), PATTERNS_GRANTED),
                         -1);
    buf_fini(&buf);
}

static void
test_keeps_recent_rows(void **state)
{
    struct recent *recent = calloc(1, sizeof *recent);
    (void)state;
    recent_reset(recent, 10);
    for (int64_t id = 11; id < 11 + 3 * RECENT_ROWS_MAX; id++) {
        struct row row = {.id = id,
                          .channel = slice_of("c"),
                          .data = slice_of("d"),
                          .collapse_key = slice_of(id % 2 == 0 ? "even" : "odd")};
        recent_append(recent, &row);
        assert_true(recent->count <= RECENT_ROWS_MAX);
        assert_int_equal(recent->rows[0].row.id, recent->after + 1);
    }
    size_t last = recent->count - 1;
    assert_false(recent->rows[last].is_replaced || recent->rows[last - 1].is_replaced);
    assert_true(recent->rows[last - 2].is_replaced && recent->rows[0].is_replaced);
    assert_int_equal(recent_find(recent, recent->rows[5].row.id), 6);
    assert_int_equal(recent_find(recent, 0), 0);
    assert_int_equal(recent_find(recent, INT64_MAX), recent->count);
    recent_fini(recent);
    free(recent);
}

static void
test_key_files(void **state)
{
    char path[] = "/tmp/rowcast.test_push.XXXXXX";
    char public_text[VAPID_PUBLIC_TEXT], other[VAPID_PUBLIC_TEXT];
    struct error error;
    (void)state;
    close(mkstemp(path));
    assert_int_equal(vapid_make_file(path, public_text, &error), -1); /* it is there */
    unlink(path);
    assert_int_equal(vapid_make_file(path, public_text, &error), 0);
    struct vapid_keys *keys = vapid_keys_load(path, NULL, &error);
    assert_non_null(keys);
    assert_int_equal(keys->count, 1);
    assert_ptr_equal(vapid_keys_find(keys, public_text), &keys->items[0]);
    assert_null(vapid_keys_find(keys, "x"));
    vapid_keys_free(keys);
    /* A second key behind it, then something that is none. */
    char second[] = "/tmp/rowcast.test_push.XXXXXX.2";
    snprintf(second, sizeof second, "%s.2", path);
    assert_int_equal(vapid_make_file(second, other, &error), 0);
    char command[256];
    snprintf(command, sizeof command, "cat %s >>%s", second, path);
    assert_int_equal(system(command), 0);
    keys = vapid_keys_load(path, NULL, &error);
    assert_non_null(keys);
    assert_int_equal(keys->count, 2);
    assert_ptr_equal(vapid_keys_find(keys, other), &keys->items[1]);
    vapid_keys_free(keys);
    snprintf(command, sizeof command, "echo '-----BEGIN PRIVATE KEY-----' >>%s", path);
    assert_int_equal(system(command), 0);
    assert_null(vapid_keys_load(path, NULL, &error));
    unlink(path);
    assert_null(vapid_keys_load(path, NULL, &error));
    unlink(second);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encrypts_as_rfc8188),
        cmocka_unit_test(test_encrypts_as_rfc8291),
        cmocka_unit_test(test_two_messages_differ),
        cmocka_unit_test(test_refuses_keys),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_own_origins),
        cmocka_unit_test(test_endpoints_are_not_quoted),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_wishes),
        cmocka_unit_test(test_patterns_in_json),
        cmocka_unit_test(test_keeps_recent_rows),
        cmocka_unit_test(test_key_files),
    };
    return RUN(tests);
}
