/* doctor.h - what `rowcast doctor` found, and how it is worded.
 *
 * A finding is what was seen and what to do about it. Findings have a fixed size, so that the
 * child which looks at the database as another user can hand them over through a pipe. */
#ifndef ROWCAST_DOCTOR_DOCTOR_H
#define ROWCAST_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#define DOCTOR_FINDINGS_MAX 48
#define DOCTOR_CHECK_MAX 16
#define DOCTOR_SEEN_MAX 640
#define DOCTOR_REMEDY_MAX 800

/* In order of weight: from DOCTOR_WARNING on something is to be done. */
enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_PROBLEM };

struct doctor_finding {
    enum doctor_level level;
    char check[DOCTOR_CHECK_MAX];   /* what was looked at: "rights", "buffering" */
    char seen[DOCTOR_SEEN_MAX];     /* printable ASCII; anything else escaped as \xNN */
    char remedy[DOCTOR_REMEDY_MAX]; /* likewise, lines end in LF; "" when there is none */
};

/* Zero-initialise. */
struct doctor_report {
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    size_t count;
    bool prints; /* each finding is printed as text when it is taken */
    bool failed; /* one could not be printed */
};

/* What stands over a finding. `remedy` (NULL: none) is copied. */
struct doctor_head {
    const char *check;
    enum doctor_level level;
    const char *remedy;
};

/* Adds a finding; the format makes what was seen. Words from outside need no care of the
 * caller's: all but printable ASCII is escaped, and what is too long is cut. More than
 * DOCTOR_FINDINGS_MAX are dropped (there are fewer checks than that). */
void doctor_find(struct doctor_report *report, struct doctor_head head, const char *format,
                 ...) __attribute__((format(printf, 3, 4)));

/* Adds a finding that was made elsewhere, unchanged. Where the report prints, it is on standard
 * output then: what takes long does not hold back what was found before. */
void doctor_take(struct doctor_report *report, const struct doctor_finding *finding);

/* The heaviest level there is; DOCTOR_OK when there are no findings. */
enum doctor_level doctor_worst(const struct doctor_report *report);

/* Prints all findings to standard output as one JSON array of objects {check, level, seen, remedy}.
 * Returns 0, or -1 when it cannot be written (errno) or memory is out. */
int doctor_print_json(const struct doctor_report *report);

#endif
