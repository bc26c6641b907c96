/* gate.c - who may have a connection, under a mutex; see store/gate.h. */
#include "config.h"

#include "store/gate.h"

#include <stdlib.h>
#include <uv.h>

struct waker {
    store_gate_wake_fn wake; /* NULL: none to wake */
    void *arg;
};

struct store_gate {
    uv_mutex_t mutex; /* for all that follows */
    bool is_open;
    bool is_entered; /* the writer has a connection, or is about to open it */
    struct error why_not;
    struct store_files files; /* that the reader has open */
    struct waker reader;
    struct waker writer;
};

static void
waker_call(struct waker waker)
{
    if (waker.wake != NULL)
        waker.wake(waker.arg);
}

static void
set_waker(struct store_gate *gate, struct waker *waker, struct waker value)
{
    uv_mutex_lock(&gate->mutex);
    *waker = value;
    uv_mutex_unlock(&gate->mutex);
}

static bool
read_flag(struct store_gate *gate, const bool *flag)
{
    uv_mutex_lock(&gate->mutex);
    bool value = *flag;
    uv_mutex_unlock(&gate->mutex);
    return value;
}

struct store_gate *
store_gate_new(void)
{
    struct store_gate *gate = calloc(1, sizeof *gate);
    if (gate != NULL && uv_mutex_init(&gate->mutex) == 0)
        return gate;
    free(gate);
    return NULL;
}

void
store_gate_free(struct store_gate *gate)
{
    if (gate == NULL)
        return;
    uv_mutex_destroy(&gate->mutex);
    free(gate);
}

void
store_gate_on_change(struct store_gate *gate, store_gate_wake_fn wake, void *arg)
{
    set_waker(gate, &gate->reader, (struct waker){wake, arg});
}

void
store_gate_on_turn(struct store_gate *gate, store_gate_wake_fn wake, void *arg)
{
    set_waker(gate, &gate->writer, (struct waker){wake, arg});
}

bool
store_gate_is_clear(struct store_gate *gate)
{
    uv_mutex_lock(&gate->mutex);
    bool is_clear = !gate->is_open && !gate->is_entered;
    uv_mutex_unlock(&gate->mutex);
    return is_clear;
}

void
store_gate_open(struct store_gate *gate, const struct store_files *files)
{
    uv_mutex_lock(&gate->mutex);
    gate->is_open = true;
    gate->files = *files;
    struct waker waker = gate->writer;
    uv_mutex_unlock(&gate->mutex);
    waker_call(waker);
}

void
store_gate_forbid(struct store_gate *gate, const struct error *why)
{
    uv_mutex_lock(&gate->mutex);
    if (why == NULL)
        gate->why_not.text[0] = '\0';
    else
        gate->why_not = *why;
    uv_mutex_unlock(&gate->mutex);
}

bool
store_gate_enter(struct store_gate *gate)
{
    uv_mutex_lock(&gate->mutex);
    gate->is_entered = gate->is_open;
    bool is_entered = gate->is_entered;
    uv_mutex_unlock(&gate->mutex);
    return is_entered;
}

void
store_gate_leave(struct store_gate *gate)
{
    uv_mutex_lock(&gate->mutex);
    gate->is_entered = false;
    struct waker waker = gate->is_open ? (struct waker){NULL, NULL} : gate->reader;
    uv_mutex_unlock(&gate->mutex);
    waker_call(waker);
}

bool
store_gate_fits(struct store_gate *gate, const struct store_files *files)
{
    uv_mutex_lock(&gate->mutex);
    bool fits = store_files_are_same(&gate->files, files);
    uv_mutex_unlock(&gate->mutex);
    return fits;
}

bool
store_gate_may_write(struct store_gate *gate, struct error *why)
{
    uv_mutex_lock(&gate->mutex);
    bool may = gate->why_not.text[0] == '\0';
    if (!may)
        *why = gate->why_not;
    uv_mutex_unlock(&gate->mutex);
    return may;
}

bool
store_gate_is_shut(struct store_gate *gate)
{
    return !read_flag(gate, &gate->is_open);
}

void
store_gate_shut(struct store_gate *gate)
{
    uv_mutex_lock(&gate->mutex);
    gate->is_open = false;
    struct waker reader = gate->reader;
    struct waker writer = gate->writer;
    uv_mutex_unlock(&gate->mutex);
    waker_call(reader);
    waker_call(writer);
}
