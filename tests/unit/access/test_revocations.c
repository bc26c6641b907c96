/* test_revocations.c - who was thrown out, and what that ends. */
#include "config.h"

#include "access/revocations.h"

#include "../unit.h"

#define TEST_NAME "revocations"

static struct revocations *
make(void)
{
    struct error error;
    struct revocations *revocations = revocations_new(&error);
    assert_non_null(revocations);
    return revocations;
}

static void
test_what_began_before_is_over_and_what_came_later_is_not(void **state)
{
    struct revocations *revocations = make();
    (void)state;
    assert_int_equal(revocations_add(revocations, slice_of("ann"), 5000, 6000), 0);
    for (int proof = REVOCATIONS_TICKET; proof <= REVOCATIONS_LOGIN; proof++) {
        assert_true(revocations_have(revocations, "ann", proof, 4999));
        assert_false(revocations_have(revocations, "ann", proof, 5000));
        assert_true(revocations_have(revocations, "ann", proof, 0));
        assert_false(revocations_have(revocations, "an", proof, 0));
        assert_false(revocations_have(revocations, NULL, proof, 0));
        assert_false(revocations_have(NULL, "ann", proof, 0));
    }
    revocations_free(revocations);
}

static void
test_the_latest_time_counts(void **state)
{
    struct revocations *revocations = make();
    (void)state;
    assert_int_equal(revocations_add(revocations, slice_of("ann"), 5000, 6000), 0);
    assert_int_equal(revocations_add(revocations, slice_of("ann"), 2000, 7000), 0);
    assert_true(revocations_have(revocations, "ann", REVOCATIONS_TICKET, 4999));
    revocations_free(revocations);
}

static void
test_a_time_to_come_ends_the_logins_of_now_alone(void **state)
{
    struct revocations *revocations = make();
    (void)state;
    assert_int_equal(revocations_add(revocations, slice_of("ann"), 9000, 6000), 0);
    assert_true(revocations_have(revocations, "ann", REVOCATIONS_TICKET, 8999));
    assert_true(revocations_have(revocations, "ann", REVOCATIONS_LOGIN, 5999));
    assert_false(revocations_have(revocations, "ann", REVOCATIONS_LOGIN, 6000));
    revocations_free(revocations);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_began_before_is_over_and_what_came_later_is_not),
        cmocka_unit_test(test_the_latest_time_counts),
        cmocka_unit_test(test_a_time_to_come_ends_the_logins_of_now_alone),
    };
    return RUN(tests);
}
