/* status_stream.c - snapshots for the viewers of the status page; see serve/status_stream.h.
 *
 * The timer runs only while there are viewers. A viewer whose socket is full gets no further
 * snapshot until it is empty, and is dropped when that takes too long. */
#include "config.h"

#include "serve/status_stream.h"

#include <stdlib.h>

#include "base/buf.h"
#include "serve/report.h"

#define SNAPSHOT_MS 1000
#define MISSED_MAX 30 /* snapshots */
#define RETRY_MS 10000

struct viewer {
    struct status_stream *stream;
    struct output *output; /* NULL: a free place */
    unsigned missed;       /* snapshots, since the socket took the last one whole */
};

struct status_stream {
    uv_timer_t timer;
    const struct hub *hub;
    const struct feed *feed;
    struct viewer viewers[STATUS_VIEWERS_MAX];
    struct buf text;
};

static struct viewer *
find_free_viewer(struct status_stream *stream)
{
    for (size_t i = 0; i < STATUS_VIEWERS_MAX; i++)
        if (stream->viewers[i].output == NULL)
            return &stream->viewers[i];
    return NULL;
}

static void
viewer_forget(struct viewer *viewer)
{
    struct status_stream *stream = viewer->stream;
    viewer->output = NULL;
    for (size_t i = 0; i < STATUS_VIEWERS_MAX; i++)
        if (stream->viewers[i].output != NULL)
            return;
    uv_timer_stop(&stream->timer);
}

static void
viewer_drop(struct viewer *viewer)
{
    struct output *output = viewer->output;
    viewer_forget(viewer);
    output_drop(output);
}

/* What the socket does not take now is no loss: it is kept and flushed. */
static void
viewer_end(struct viewer *viewer)
{
    struct output *output = viewer->output;
    viewer_forget(viewer);
    output_disarm(output);
    output_finish(output);
}

static void
viewer_send(struct viewer *viewer, struct slice text)
{
    struct output *output = viewer->output;
    if (!output_is_clear(output)) {
        if (++viewer->missed > MISSED_MAX)
            viewer_drop(viewer);
        return;
    }
    viewer->missed = 0;
    enum output_result result = output_push_text(output, text);
    if (result == OUTPUT_GONE)
        viewer_drop(viewer);
    else if (result == OUTPUT_BLOCKED)
        output_arm(output);
}

static void
on_viewer_writable(struct output *output)
{
    enum output_result result = output_flush(output);
    if (result == OUTPUT_GONE)
        viewer_drop(output->owner);
    else if (result == OUTPUT_SENT)
        output_disarm(output);
}

static void
on_viewer_gone(struct output *output, enum gone_reason why)
{
    if (why == GONE_ABORTED)
        viewer_end(output->owner);
    else
        viewer_forget(output->owner);
}

static const struct output_ops viewer_ops = {on_viewer_writable, on_viewer_gone};

/* Behind what stands in stream->text. */
static void
append_snapshot(struct status_stream *stream)
{
    buf_append_text(&stream->text, "data: ");
    report_append_status(&stream->text, stream->hub, stream->feed, REPORT_STREAMS_LIVE);
    buf_append_text(&stream->text, "\n\n");
}

static void
on_tick(uv_timer_t *timer)
{
    struct status_stream *stream = timer->data;
    buf_clear(&stream->text);
    append_snapshot(stream);
    if (stream->text.failed)
        return;
    for (size_t i = 0; i < STATUS_VIEWERS_MAX; i++)
        if (stream->viewers[i].output != NULL)
            viewer_send(&stream->viewers[i], buf_slice(&stream->text));
}

void
status_stream_open(struct status_stream *stream, struct output *output,
                   struct slice headers)
{
    struct viewer *viewer = find_free_viewer(stream);
    buf_clear(&stream->text);
    buf_append(&stream->text, headers.p, headers.len);
    if (viewer == NULL) {
        buf_printf(&stream->text, ": too many viewers\nretry: %d\n\n", RETRY_MS);
        output_answer(output, buf_slice(&stream->text));
        return;
    }
    append_snapshot(stream);
    if (stream->text.failed) {
        output_drop(output);
        return;
    }
    viewer->output = output;
    viewer->missed = 0;
    output_set_owner(output, &viewer_ops, viewer);
    if (!uv_is_active((uv_handle_t *)&stream->timer))
        uv_timer_start(&stream->timer, on_tick, SNAPSHOT_MS, SNAPSHOT_MS);
    viewer_send(viewer, buf_slice(&stream->text));
}

void
status_stream_end(struct status_stream *stream)
{
    for (size_t i = 0; i < STATUS_VIEWERS_MAX; i++)
        if (stream->viewers[i].output != NULL)
            viewer_end(&stream->viewers[i]);
}

struct status_stream *
status_stream_new(uv_loop_t *loop, const struct hub *hub, const struct feed *feed)
{
    struct status_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->hub = hub;
    stream->feed = feed;
    uv_timer_init(loop, &stream->timer);
    stream->timer.data = stream;
    for (size_t i = 0; i < STATUS_VIEWERS_MAX; i++)
        stream->viewers[i].stream = stream;
    return stream;
}

static void
on_closed(uv_handle_t *handle)
{
    struct status_stream *stream = handle->data;
    buf_fini(&stream->text);
    free(stream);
}

void
status_stream_free(struct status_stream *stream)
{
    if (stream == NULL)
        return;
    for (size_t i = 0; i < STATUS_VIEWERS_MAX; i++)
        if (stream->viewers[i].output != NULL)
            viewer_drop(&stream->viewers[i]);
    uv_close((uv_handle_t *)&stream->timer, on_closed);
}
