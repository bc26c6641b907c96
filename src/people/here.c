/* here.c - readers by name, each with a count for each channel; see people/here.h. */
#include "config.h"

#include "people/here.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/queue.h"
#include "base/string_map.h"
#include "limits/address.h"

#define ALL_CHANNELS "*"
#define KEY_NUMBER_MAX 32

struct here_reader {
    struct queue_link link;         /* in here->all */
    struct queue_link changed;      /* in here->changed */
    struct string_map_entry *entry; /* in here->users; NULL: it has no name */
    uint64_t number;                /* of one without a name */
    struct string_map channels;     /* count: streams that asked for it */
    char address[ADDRESS_TEXT_MAX]; /* empty: not known */
    int64_t since_ms;
    size_t streams;
    bool is_told; /* a change that it is here was taken */
};

struct here {
    struct hash_key key;
    struct string_map users; /* items: a struct here_reader */
    struct queue all;
    struct queue changed;
    uint64_t number;
    size_t count, named;
};

/* --- streams ------------------------------------------------------------------------- */

static void
note_change(struct here *here, struct here_reader *reader)
{
    queue_push(&here->changed, &reader->changed);
}

static void
reader_free(struct here *here, struct here_reader *reader)
{
    if (reader->entry != NULL) {
        reader->entry->items = NULL; /* the map would free it */
        string_map_remove(&here->users, reader->entry);
    }
    queue_remove(&reader->link);
    queue_remove(&reader->changed);
    string_map_fini(&reader->channels);
    free(reader);
}

static struct here_reader *
reader_new(struct here *here, struct string_map_entry *entry)
{
    struct here_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        if (entry != NULL)
            string_map_remove(&here->users, entry);
        return NULL;
    }
    string_map_init(&reader->channels, &here->key);
    queue_link_init(&reader->link);
    queue_link_init(&reader->changed);
    queue_push(&here->all, &reader->link);
    reader->entry = entry;
    if (entry != NULL)
        entry->items = reader;
    else
        reader->number = ++here->number;
    return reader;
}

/* The user's reader, or a new one. */
static struct here_reader *
find_reader(struct here *here, const char *user)
{
    struct string_map_entry *entry = NULL;
    if (user != NULL) {
        entry = string_map_get(&here->users, slice_of(user));
        if (entry == NULL)
            return NULL;
    }
    return entry != NULL && entry->items != NULL ? entry->items : reader_new(here, entry);
}

/* Without memory a channel is missing from the list. True when the list is another one. */
static bool
count_channel(struct here_reader *reader, const char *name)
{
    struct string_map_entry *entry = string_map_get(&reader->channels, slice_of(name));
    return entry != NULL && ++entry->count == 1;
}

static bool
uncount_channel(struct here_reader *reader, const char *name)
{
    struct string_map_entry *entry = string_map_find(&reader->channels, slice_of(name));
    if (entry == NULL || --entry->count > 0)
        return false;
    string_map_remove(&reader->channels, entry);
    return true;
}

/* Calls fn for each name that the stream has asked for. */
static void
each_channel(struct here_reader *reader, const struct here_stream *stream,
             bool (*fn)(struct here_reader *reader, const char *name))
{
    if (stream->channels->count == 0)
        fn(reader, ALL_CHANNELS);
    for (size_t i = 0; i < stream->channels->count; i++)
        fn(reader, stream->channels->items[i]);
}

struct here_reader *
here_open(struct here *here, const struct here_stream *stream, int64_t now_ms)
{
    struct here_reader *reader = find_reader(here, stream->user);
    if (reader == NULL)
        return NULL;
    if (reader->streams++ == 0) {
        reader->since_ms = now_ms;
        here->count++;
        here->named += stream->user != NULL;
    }
    reader->address[0] = '\0';
    if (stream->address != NULL)
        address_name_subscriber(stream->address, reader->address);
    each_channel(reader, stream, count_channel);
    note_change(here, reader);
    return reader;
}

void
here_close(struct here *here, struct here_reader *reader, const struct here_stream *stream)
{
    each_channel(reader, stream, uncount_channel);
    if (--reader->streams == 0) {
        here->count--;
        here->named -= reader->entry != NULL;
        if (!reader->is_told) { /* so short a visit that the table does not have it */
            reader_free(here, reader);
            return;
        }
    }
    note_change(here, reader);
}

/* --- changes ------------------------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
append_channels(struct buf *buf, const struct string_map *channels)
{
    size_t count = 0;
    const char **names = calloc(channels->count + 1, sizeof *names);
    if (names == NULL) {
        buf->failed = true;
        return;
    }
    for (size_t i = 0; i < channels->cap; i++)
        for (struct string_map_entry *entry = channels->buckets[i]; entry != NULL;
             entry = entry->next)
            names[count++] = entry->text;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count && i < HERE_CHANNELS_MAX; i++) {
        buf_append_text(buf, i == 0 ? "[" : ",");
        json_append_string(buf, slice_of(names[i]));
    }
    buf_append_text(buf, count == 0 ? "[]" : "]");
    free(names);
}

/* Copies the text behind what is there already; returns the copy. */
static const char *
put_text(char **end, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = memcpy(*end, text, len);
    *end += len;
    return copy;
}

static struct here_change *
make_change(const struct here_reader *reader, const char *channels)
{
    const char *user = reader->entry != NULL ? reader->entry->text : "";
    size_t len = 2 * (strlen(user) + 1) + KEY_NUMBER_MAX + strlen(channels) + 1 +
                 strlen(reader->address) + 1;
    struct here_change *change = calloc(1, sizeof *change + len);
    if (change == NULL)
        return NULL;
    char *end = change->text;
    change->channels = put_text(&end, channels);
    if (reader->address[0] != '\0')
        change->address = put_text(&end, reader->address);
    if (reader->entry != NULL)
        change->user = put_text(&end, user);
    change->key = end;
    if (reader->entry != NULL)
        sprintf(end, "user %s", user);
    else
        sprintf(end, "stream %llu", (unsigned long long)reader->number);
    change->since_ms = reader->since_ms;
    change->streams = reader->streams;
    change->is_new = !reader->is_told;
    return change;
}

struct here_change *
here_take(struct here *here, bool *failed)
{
    struct queue_link *link = queue_head(&here->changed);
    struct buf channels = {0};
    struct here_change *change = NULL;
    *failed = false;
    if (link == NULL)
        return NULL;
    struct here_reader *reader = queue_item(link, struct here_reader, changed);
    append_channels(&channels, &reader->channels);
    buf_append(&channels, "", 1);
    if (!channels.failed)
        change = make_change(reader, channels.p);
    buf_fini(&channels);
    *failed = change == NULL;
    if (change == NULL)
        return NULL;
    queue_remove(&reader->changed);
    reader->is_told = true;
    if (reader->streams == 0)
        reader_free(here, reader);
    return change;
}

bool
here_has_changes(const struct here *here)
{
    return queue_head(&here->changed) != NULL;
}

void
here_tell_all(struct here *here)
{
    for (struct queue_link *link = queue_head(&here->all); link != NULL;
         link = queue_next(&here->all, link)) {
        struct here_reader *reader = queue_item(link, struct here_reader, link);
        reader->is_told = reader->streams == 0; /* that one is gone: no row is missing */
        note_change(here, reader);
    }
}

size_t
here_count(const struct here *here)
{
    return here->count;
}

size_t
here_users(const struct here *here)
{
    return here->named;
}

/* --- life ---------------------------------------------------------------------------- */

struct here *
here_new(struct error *error)
{
    struct hash_key key;
    if (hash_key_make(&key, error) != 0)
        return NULL;
    struct here *here = calloc(1, sizeof *here);
    if (here == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    here->key = key;
    string_map_init(&here->users, &key);
    queue_init(&here->all);
    queue_init(&here->changed);
    return here;
}

void
here_free(struct here *here)
{
    struct queue_link *link;
    if (here == NULL)
        return;
    while ((link = queue_head(&here->all)) != NULL)
        reader_free(here, queue_item(link, struct here_reader, link));
    string_map_fini(&here->users);
    free(here);
}
