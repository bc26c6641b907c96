/* fault.h - "fail the Nth allocation": the linker (-Wl,--wrap=malloc and its like) sends the
 * program's own calls here; those of libraries are not touched. */
#ifndef ROWCAST_TESTS_FAULT_H
#define ROWCAST_TESTS_FAULT_H

#include <stdbool.h>

/* The nth allocation from now on fails (1: the next), and `more` after it. Only what is allocated
 * between fault_resume and fault_pause counts, so that a test may allocate as well. */
void fault_arm(unsigned long nth, unsigned long more);
void fault_resume(void);
void fault_pause(void);

/* No failures any more. How many allocations were counted since fault_arm. */
unsigned long fault_disarm(void);

/* False when memory was lost since the start; always true where there is no LeakSanitizer to ask.
 * It says on stderr where that memory came from. */
bool fault_leaks_nothing(void);

#endif
