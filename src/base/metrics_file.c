/* metrics_file.c - see base/metrics_file.h. */
#include "config.h"

#include "base/metrics_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

static void
append_figures(struct buf *text, const struct metrics_figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(text, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", figures[i].name,
                   figures[i].help, figures[i].name, figures[i].type, figures[i].name,
                   figures[i].value);
}

static int
replace_file(const char *path, const char *next, const struct buf *text,
             struct error *error)
{
    FILE *file = fopen(next, "we");
    if (file == NULL)
        return error_set(error, "--metrics: %s: %s", next, strerror(errno));
    size_t written = fwrite(text->p, 1, text->len, file);
    fchmod(fileno(file), 0644);
    if (fclose(file) == 0 && written == text->len && rename(next, path) == 0)
        return 0;
    int cause = errno;
    unlink(next);
    return error_set(error, "--metrics: %s: %s", path, strerror(cause));
}

int
metrics_file_write(const char *path, const struct metrics_figure *figures, size_t count,
                   struct error *error)
{
    struct buf text = {0};
    struct buf next = {0};
    append_figures(&text, figures, count);
    buf_printf(&next, "%s.new", path);
    buf_append(&next, "", 1);
    int result = text.failed || next.failed ? error_set(error, "--metrics: out of memory")
                                            : replace_file(path, next.p, &text, error);
    buf_fini(&text);
    buf_fini(&next);
    return result;
}
