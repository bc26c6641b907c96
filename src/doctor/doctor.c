/* doctor.c - the list of findings and the two ways to print it.
 *
 * Called by cmd/doctor.c and by everything that judges. Header fields, error texts and paths
 * come from outside and end on a terminal: they are escaped here, in one place, when a finding
 * is made. */
#include "config.h"

#include "doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

static const char *const level_names[] = {
    [DOCTOR_OK] = "ok",
    [DOCTOR_NOTE] = "note",
    [DOCTOR_WARNING] = "warning",
    [DOCTOR_PROBLEM] = "problem",
};

/* Copies text; a line end stays where `keep` is '\n'. */
static void
copy_escaped(char *out, size_t size, const char *text, char keep)
{
    size_t n = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if ((*p >= ' ' && *p < 0x7f) || (keep != '\0' && *p == (unsigned char)keep)) {
            if (n + 1 >= size)
                break;
            out[n++] = (char)*p;
        } else {
            if (n + 4 >= size)
                break;
            snprintf(out + n, 5, "\\x%02x", *p);
            n += 4;
        }
    }
    out[n] = '\0';
}

static int
write_out(struct buf *out)
{
    int result = -1;

    if (!out->failed && fwrite(out->p, 1, out->len, stdout) == out->len &&
        fflush(stdout) == 0)
        result = 0;
    buf_fini(out);
    return result;
}

/* As text: a line, and the remedy below it. */
static int
print_finding(const struct doctor_finding *finding)
{
    struct buf out = {0};

    buf_printf(&out, "%-8s %s: %s\n", level_names[finding->level], finding->check,
               finding->seen);
    for (const char *line = finding->remedy; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        buf_printf(&out, "         %.*s\n", (int)len, line);
        line += line[len] == '\n' ? len + 1 : len;
    }
    return write_out(&out);
}

void
doctor_find(struct doctor_report *report, struct doctor_head head, const char *format, ...)
{
    char seen[DOCTOR_SEEN_MAX];
    struct doctor_finding finding = {.level = head.level};

    va_list args;
    va_start(args, format);
    vsnprintf(seen, sizeof seen, format, args);
    va_end(args);
    copy_escaped(finding.check, sizeof finding.check, head.check, '\0');
    copy_escaped(finding.seen, sizeof finding.seen, seen, '\0');
    if (head.remedy != NULL)
        copy_escaped(finding.remedy, sizeof finding.remedy, head.remedy, '\n');
    doctor_take(report, &finding);
}

void
doctor_take(struct doctor_report *report, const struct doctor_finding *finding)
{
    if (report->count < DOCTOR_FINDINGS_MAX)
        report->findings[report->count++] = *finding;
    if (report->prints && print_finding(finding) != 0)
        report->failed = true;
}

enum doctor_level
doctor_worst(const struct doctor_report *report)
{
    enum doctor_level worst = DOCTOR_OK;

    for (size_t i = 0; i < report->count; i++) {
        if (report->findings[i].level > worst)
            worst = report->findings[i].level;
    }
    return worst;
}

int
doctor_print_json(const struct doctor_report *report)
{
    struct buf out = {0};

    buf_append_text(&out, "[");
    for (size_t i = 0; i < report->count; i++) {
        const struct doctor_finding *finding = &report->findings[i];
        buf_append_text(&out, i == 0 ? "\n{\"check\":" : ",\n{\"check\":");
        json_append_string(&out, slice_of(finding->check));
        buf_printf(&out, ",\"level\":\"%s\",\"seen\":", level_names[finding->level]);
        json_append_string(&out, slice_of(finding->seen));
        buf_append_text(&out, ",\"remedy\":");
        if (finding->remedy[0] != '\0')
            json_append_string(&out, slice_of(finding->remedy));
        else
            buf_append_text(&out, "null");
        buf_append_text(&out, "}");
    }
    buf_append_text(&out, "\n]\n");
    return write_out(&out);
}
