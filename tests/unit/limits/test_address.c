/* test_address.c - a subscriber's address as text. */
#include "config.h"

#include "limits/address.h"

#include "../unit.h"

#define TEST_NAME "address"

static void
test_a_subscriber_has_a_name(void **state)
{
    static const struct {
        const char *address, *name;
    } samples[] = {
        {"192.0.2.7", "192.0.2.7"},
        {"192.0.2.7:443", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"64:ff9b::192.0.2.7", "192.0.2.7"},
        {"2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"},
        {"[2001:db8::1]:443", "2001:db8::/64"},
        {"fe80::1%eth0", "fe80::/64"},
        {"a name", "a name"},
        {"", ""},
    };
    char name[ADDRESS_TEXT_MAX];
    char text[200];
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        address_name_subscriber(samples[i].address, name);
        assert_string_equal(name, samples[i].name);
    }
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    address_name_subscriber(text, name);
    assert_int_equal(strlen(name), ADDRESS_TEXT_MAX - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_subscriber_has_a_name)};
    return RUN(tests);
}
