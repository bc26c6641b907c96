/* test_hash.c - the keyed hash against its authors' vectors, and the tables that rest on it: names
 * that were chosen to collide do not. */
#include "config.h"

#include "base/hash.h"
#include "base/string_map.h"

#include "../unit.h"

#define TEST_NAME "hash"

static const struct hash_key key = {
    {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};

/* The paper's appendix A, and vectors_sip64 of the reference implementation: the key is the bytes
 * 00 to 0f, the text the bytes 00, 01, ... */
static void
test_it_is_siphash_2_4(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } cases[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},
        {1, UINT64_C(0x74f839c593dc67fd)},
        {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)},
    };
    unsigned char text[16];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)i;
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK(hash_bytes(&key, text, cases[i].len) == cases[i].hash, "%zu bytes\n",
              cases[i].len);
}

/* Any bit of either changes it. */
static void
test_the_hash_depends_on_all_of_key_and_text(void **state)
{
    char text[40] = {0};
    uint64_t first = hash_bytes(&key, text, sizeof text);

    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = 1;
        assert_true(hash_bytes(&key, text, sizeof text) != first);
        text[i] = 0;
        assert_true(hash_bytes(&key, text, i) != first);
    }
    for (int i = 0; i < 128; i++) {
        struct hash_key other = key;
        other.halves[i / 64] ^= UINT64_C(1) << i % 64;
        assert_true(hash_bytes(&other, text, sizeof text) != first);
    }
}

static void
test_lists_of_texts_have_different_hashes(void **state)
{
    static const char *const lists[][2] = {{"a", "b"}, {"ab", ""},   {"", "ab"},
                                           {"b", "a"}, {"ab", NULL}, {NULL, "ab"}};
    uint64_t hashes[COUNT(lists)];

    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++) {
        hashes[i] =
            hash_add(&key, hash_add(&key, 0, slice_of(lists[i][0])), slice_of(lists[i][1]));
        for (size_t j = 0; j < i; j++)
            assert_true(hashes[i] != hashes[j]);
    }
}

static void
test_each_process_has_a_key_of_its_own(void **state)
{
    struct hash_key one, other;

    (void)state;
    assert_int_equal(hash_key_make(&one, NULL), 0);
    assert_int_equal(hash_key_make(&other, NULL), 0);
    assert_memory_not_equal(&one, &other, sizeof one);
}

/* --- names --------------------------------------------------------------------------- */

static uint64_t
fnv(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

/* The next name that falls into bucket 0 of 512 under FNV-1a, which anybody can compute. */
static void
next_colliding(char name[16], unsigned *number)
{
    do
        snprintf(name, 16, "c%u", (*number)++);
    while ((fnv(name) & 511) != 0);
}

static void
test_names_made_to_collide_do_not(void **state)
{
    struct string_map names;
    char name[16];
    unsigned number = 0;

    (void)state;
    string_map_init(&names, &key);
    for (int i = 0; i < 500; i++) {
        next_colliding(name, &number);
        assert_non_null(string_map_get(&names, slice_of(name)));
    }
    assert_int_equal(names.count, 500);
    assert_in_range(string_map_longest_chain(&names), 1, 8);
    number = 0;
    for (int i = 0; i < 500; i++) {
        next_colliding(name, &number);
        struct string_map_entry *found = string_map_find(&names, slice_of(name));
        assert_non_null(found);
        string_map_remove(&names, found);
        assert_null(string_map_find(&names, slice_of(name)));
    }
    assert_int_equal(names.count, 0);
    string_map_fini(&names);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_siphash_2_4),
        cmocka_unit_test(test_the_hash_depends_on_all_of_key_and_text),
        cmocka_unit_test(test_lists_of_texts_have_different_hashes),
        cmocka_unit_test(test_each_process_has_a_key_of_its_own),
        cmocka_unit_test(test_names_made_to_collide_do_not),
    };

    return RUN(tests);
}
