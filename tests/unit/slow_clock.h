/* slow_clock.h - a clock that moves on with each look at it, so that a test can count how much
 * work is done between two looks, however fast the machine is.
 *
 * The linker (-Wl,--wrap=uv_hrtime,--wrap=clock_gettime) sends the program's own looks at the
 * monotonic clock here. libuv's timers have a clock of their own. */
#ifndef ROWCAST_TESTS_SLOW_CLOCK_H
#define ROWCAST_TESTS_SLOW_CLOCK_H

/* More than any work may take in a turn of the loop: the first look finds that the time is over. */
#define SLOW_CLOCK_LOOK_NS 10000000

void slow_clock_start(void);
void slow_clock_stop(void);

#endif
