/* unit.h - what every cmocka program here begins with (cmocka wants these before itself). */
#ifndef ROWCAST_TESTS_UNIT_H
#define ROWCAST_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Fails with a message that says which row of a table it was. */
#define CHECK(condition, ...)                                                              \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            print_error(__VA_ARGS__);                                                      \
            fail_msg("%s", #condition);                                                    \
        }                                                                                  \
    } while (0)

/* The tests of one program, in TAP. */
#define RUN(tests)                                                                         \
    (cmocka_set_message_output(CM_OUTPUT_TAP),                                             \
     cmocka_run_group_tests_name(TEST_NAME, tests, NULL, NULL))

#endif
