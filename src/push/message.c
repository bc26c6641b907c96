/* message.c - from a row to a message; see push/message.h. Called by push/sender.c. */
#include "config.h"

#include "push/message.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/base64url.h"
#include "base/json.h"
#include "event/sse.h"
#include "push/declarative.h"
#include "push/ece.h"

#define CHANNEL_MAX 512 /* a longer one is left out: in JSON it may be six times as long */
#define TOPIC_BYTES 24  /* 32 characters of base64url */

static void
append_short(struct buf *buf, const struct row *row)
{
    buf_append_text(buf, "{\"id\":\"");
    buf_append_int(buf, row->id);
    buf_append_text(buf, "\"");
    if (row->channel.p != NULL && row->channel.len <= CHANNEL_MAX) {
        buf_append_text(buf, ",\"channel\":");
        json_append_string(buf, row->channel);
    }
    buf_append_text(buf, ",\"too_long\":true}");
}

/* A line of NDJSON without its end. */
static void
append_envelope(struct buf *buf, const struct row *row, size_t max_event_bytes)
{
    sse_append_row(buf, FORMAT_NDJSON, row, max_event_bytes);
    if (buf->len > 0 && buf->p[buf->len - 1] == '\n')
        buf->len--;
}

void
push_message_append(struct buf *buf, const struct row *row, const struct push_text *text)
{
    if (text->length == PUSH_WHOLE && text->page != NULL && !row->too_large) {
        declarative_append(buf, row, text->page);
        if (buf->len <= ECE_TEXT_MAX)
            return;
        buf_clear(buf);
    }
    if (text->length == PUSH_WHOLE)
        append_envelope(buf, row, text->max_event_bytes);
    if (text->length == PUSH_WHOLE && !row->too_large && buf->len <= ECE_TEXT_MAX)
        return;
    buf_clear(buf);
    append_short(buf, row);
}

int64_t
push_message_ttl_s(const struct row *row, int64_t now_ms)
{
    if (row->expires_at == 0)
        return PUSH_TTL_MAX_S;
    int64_t seconds = (row->expires_at - now_ms + 999) / 1000;
    if (seconds < 1)
        return 1;
    return seconds < PUSH_TTL_MAX_S ? seconds : PUSH_TTL_MAX_S;
}

/* Each part with its length before it, so that no two rows have the same bytes. */
static void
digest_part(EVP_MD_CTX *context, struct slice part)
{
    uint64_t len = part.p == NULL ? UINT64_MAX : part.len;
    EVP_DigestUpdate(context, &len, sizeof len);
    EVP_DigestUpdate(context, part.p != NULL ? part.p : "", part.len);
}

bool
push_message_topic(char out[PUSH_TOPIC_TEXT], const struct row *row)
{
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};
    struct buf text = {0};
    EVP_MD_CTX *context = row->collapse_key.p != NULL ? EVP_MD_CTX_new() : NULL;
    if (context == NULL)
        return false;
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    digest_part(context, row->channel);
    digest_part(context, row->recipient);
    digest_part(context, row->collapse_key);
    EVP_DigestFinal_ex(context, hash, NULL);
    EVP_MD_CTX_free(context);
    base64url_append(&text, hash, TOPIC_BYTES);
    bool done = !text.failed;
    if (done)
        memcpy(out, text.p, PUSH_TOPIC_TEXT - 1);
    out[PUSH_TOPIC_TEXT - 1] = '\0';
    buf_fini(&text);
    return done;
}

const char *
push_message_urgency(const struct row *row)
{
    static const char *const known[] = {"very-low", "low", "normal", "high"};
    const char *urgency = "normal";
    if (row->data.p == NULL || row->data.len == 0 || row->data.p[0] != '{')
        return urgency;
    json_t *root = json_loadb(row->data.p, row->data.len, 0, NULL);
    const json_t *asked = json_object_get(root, "urgency");
    if (json_is_true(json_object_get(root, "quiet")))
        urgency = "low";
    for (size_t i = 0; json_is_string(asked) && i < sizeof known / sizeof *known; i++)
        if (strcmp(json_string_value(asked), known[i]) == 0)
            urgency = known[i];
    json_decref(root);
    return urgency;
}
