/* declarative.c - the mapping of web/alerts/alert.js, for browsers that show a message without
 * it; see push/declarative.h. Called by push/message.c. */
#include "config.h"

#include "push/declarative.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

/* The row's data where it is an alert: an object with a title or a body. Else NULL. */
static json_t *
read_alert(const struct row *row)
{
    if (row->data.p == NULL)
        return NULL;
    json_t *root = json_loadb(row->data.p, row->data.len, 0, NULL);
    if (json_object_get(root, "title") != NULL || json_object_get(root, "body") != NULL)
        return root;
    json_decref(root);
    return NULL;
}

/* A text or a number of the alert; false: neither. */
static bool
append_member(struct buf *buf, const json_t *alert, const char *name)
{
    const json_t *value = json_object_get(alert, name);
    char number[40];
    if (json_is_string(value)) {
        json_append_string(
            buf, (struct slice){json_string_value(value), json_string_length(value)});
        return true;
    }
    if (!json_is_integer(value))
        return false;
    snprintf(number, sizeof number, "\"%lld\"", (long long)json_integer_value(value));
    buf_append_text(buf, number);
    return true;
}

/* "orders", or "orders · paid". */
static void
append_default_title(struct buf *buf, const struct row *row)
{
    struct buf title = {0};
    buf_append(&title, row->channel.p != NULL ? row->channel.p : "default",
               row->channel.p != NULL ? row->channel.len : strlen("default"));
    if (row->event.len > 0) {
        buf_append_text(&title, " \xC2\xB7 ");
        buf_append(&title, row->event.p, row->event.len);
    }
    json_append_string(buf, buf_slice(&title));
    buf_fini(&title);
}

static void
append_body(struct buf *buf, const json_t *alert, const struct row *row)
{
    buf_append_text(buf, ",\"body\":");
    if (alert == NULL)
        json_append_string(buf, row->data.p != NULL ? row->data : slice_of(""));
    else if (!append_member(buf, alert, "body"))
        buf_append_text(buf, "\"\"");
}

/* Another row of the same tag takes its place; without one each stands by itself, with the tag
 * that alerts.js gives it too. */
static void
append_tag(struct buf *buf, const json_t *alert, const struct row *row)
{
    const json_t *tag = json_object_get(alert, "tag");
    buf_append_text(buf, ",\"tag\":");
    if (!json_is_string(tag) || json_string_length(tag) == 0)
        buf_printf(buf, "\"rowcast--%lld\"", (long long)row->id);
    else
        append_member(buf, alert, "tag");
}

/* Only http and https are followed, and of relative addresses those that are a path. */
static void
append_navigate(struct buf *buf, const json_t *alert, const char *page)
{
    const char *url = json_string_value(json_object_get(alert, "url"));
    struct buf address = {0};
    const char *host = strstr(page, "://");
    if (url != NULL &&
        (strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0)) {
        buf_append_text(&address, url);
    } else if (url != NULL && url[0] == '/' && url[1] != '/' && host != NULL) {
        buf_append(&address, page, (size_t)(host + 3 - page) + strcspn(host + 3, "/?#"));
        buf_append_text(&address, url);
    } else {
        buf_append_text(&address, page);
    }
    buf_append_text(buf, ",\"navigate\":");
    json_append_string(buf, buf_slice(&address));
    buf_fini(&address);
}

void
declarative_append(struct buf *buf, const struct row *row, const char *page)
{
    json_t *alert = read_alert(row);
    buf_append_text(buf, "{\"web_push\":8030,\"notification\":{\"title\":");
    if (!append_member(buf, alert, "title"))
        append_default_title(buf, row);
    append_body(buf, alert, row);
    append_tag(buf, alert, row);
    append_navigate(buf, alert, page);
    if (json_is_true(json_object_get(alert, "quiet")))
        buf_append_text(buf, ",\"silent\":true");
    buf_append_text(buf, "}}");
    json_decref(alert);
}
