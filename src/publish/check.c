/* check.c - who may publish, and from where; then what the body's type and length must be.
 *
 * Called by publish/endpoint.c for each POST. The cheap and the telling checks first: a stranger
 * learns nothing of how his body would have been read. publish/rows.c reads it. */
#include "config.h"

#include "publish/check.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/parse_number.h"

/* --- who ----------------------------------------------------------------------------- */

bool
publish_allows(const struct request *request, struct slice channel)
{
    if (request->has_publish && !patterns_match(&request->publish, channel))
        return false;
    if (request->has_ticket_publish && !patterns_match(&request->ticket_publish, channel))
        return false;
    return request->has_publish || request->has_ticket_publish;
}

static int
check_right(const struct request *request, struct error *error)
{
    if (request->has_publish || request->has_ticket_publish)
        return 0;
    error_set(error,
              "publishing is not allowed here: the web server must set ROWCAST_PUBLISH for "
              "this location, or a ticket must have the claim publish");
    return 403;
}

static int
check_channels(const struct request *request, const struct publish_rows *rows,
               struct error *error)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct row row;
        publish_rows_get(rows, i, &row);
        if (publish_allows(request, row.channel))
            continue;
        char quoted[PARSE_QUOTED_MAX];
        error_set(error,
                  "channel %s may not be published on: the web server's ROWCAST_PUBLISH or "
                  "the ticket does not include it",
                  parse_quote(quoted, row.channel.p));
        return 403;
    }
    return 0;
}

/* --- from which page ----------------------------------------------------------------- */

/* Exactly one of the list. Neither "*", which says that all may read, nor "null", which is every
 * sandboxed frame and local file. */
static bool
is_listed(const struct text_list *origins, const char *origin)
{
    if (strcmp(origin, "*") == 0 || strcmp(origin, "null") == 0)
        return false;
    for (size_t i = 0; i < origins->count; i++)
        if (strcmp(origins->items[i], origin) == 0)
            return true;
    return false;
}

/* The page came from this very host. Where the web server does not say that it speaks HTTPS, a
 * proxy before it may do so: then either scheme is the host's. */
static bool
is_same_origin(const struct request_post *post, const char *origin)
{
    bool https =
        post->https != NULL && *post->https != '\0' && strcasecmp(post->https, "off") != 0;
    const char *host = NULL;

    if (strncasecmp(origin, "https://", 8) == 0)
        host = origin + 8;
    else if (!https && strncasecmp(origin, "http://", 7) == 0)
        host = origin + 7;
    return host != NULL && *host != '\0' && post->host != NULL &&
           strcasecmp(host, post->host) == 0;
}

int
publish_check_origin(const struct request *request, const struct text_list *origins,
                     struct error *error)
{
    const struct request_post *post = &request->post;
    const char *site = post->fetch_site;
    char quoted[PARSE_QUOTED_MAX];

    if (request->origin != NULL) {
        if (is_listed(origins, request->origin) || is_same_origin(post, request->origin))
            return 0;
        error_set(error,
                  "pages of %s may not publish here: --cors-origin must name that origin "
                  "(* does not count)",
                  parse_quote(quoted, request->origin));
        return 403;
    }
    if (site == NULL || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0)
        return 0;
    error_set(error, "pages of other sites may not publish here: Sec-Fetch-Site is %s",
              parse_quote(quoted, site));
    return 403;
}

/* --- the body's frame ---------------------------------------------------------------- */

/* Cuts the part up to the next `;` off the front of *rest. */
static struct slice
cut_part(struct slice *rest)
{
    const char *end = memchr(rest->p, ';', rest->len);
    struct slice part = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->len};
    size_t taken = end != NULL ? part.len + 1 : part.len;
    rest->p += taken;
    rest->len -= taken;
    return slice_trim(part);
}

static bool
equals_nocase(struct slice text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.p, word, text.len) == 0;
}

/* A parameter of the type: charset must be UTF-8, in quotes or not; others say nothing to us. */
static bool
parameter_is_fine(struct slice part)
{
    static const char name[] = "charset=";
    size_t len = sizeof name - 1;
    if (part.len < len || strncasecmp(part.p, name, len) != 0)
        return true;
    struct slice value = {part.p + len, part.len - len};
    return equals_nocase(value, "utf-8") || equals_nocase(value, "\"utf-8\"");
}

static int
check_type(const char *text, enum publish_type *type, struct error *error)
{
    struct slice rest = slice_of(text != NULL ? text : "");
    struct slice name = cut_part(&rest);
    char quoted[PARSE_QUOTED_MAX];

    *type = PUBLISH_FORM;
    if (equals_nocase(name, "application/json")) {
        *type = PUBLISH_JSON;
    } else if (!equals_nocase(name, "application/x-www-form-urlencoded")) {
        error_set(error,
                  "Content-Type %s is not understood: send application/json or "
                  "application/x-www-form-urlencoded",
                  parse_quote(quoted, text != NULL ? text : ""));
        return 415;
    }
    while (rest.len > 0) {
        if (parameter_is_fine(cut_part(&rest)))
            continue;
        error_set(error, "Content-Type %s: only charset=utf-8 is understood",
                  parse_quote(quoted, text));
        return 415;
    }
    return 0;
}

static int
check_length(const char *text, const struct request_body *body, struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];
    int64_t len;

    if (text == NULL || *text == '\0') {
        error_set(error, "the request has no Content-Length: send one, not a chunked body");
        return 411;
    }
    if (text[strspn(text, "0123456789")] != '\0') {
        error_set(error, "Content-Length %s is not a number", parse_quote(quoted, text));
        return 400;
    }
    if (parse_count(text, 0, REQUEST_BODY_MAX, &len) != 0) {
        error_set(error, "a body of %.20s bytes: at most %d may be published in a request",
                  text, REQUEST_BODY_MAX);
        return 413;
    }
    if (body->came != (uint64_t)len || body->bytes.len != body->came) {
        error_set(error, "the body has %" PRIu64 " bytes, Content-Length says %" PRId64,
                  body->came, len);
        return 400;
    }
    return 0;
}

int
publish_check_body(const struct request *request, const struct request_body *body,
                   enum publish_type *type, struct error *error)
{
    int status = check_type(request->post.content_type, type, error);
    return status != 0 ? status : check_length(request->post.content_length, body, error);
}

int
publish_judge(const struct request *request, const struct publish_rules *rules,
              const struct request_body *body, struct publish_rows *rows,
              struct error *error)
{
    enum publish_type type = PUBLISH_FORM;

    publish_rows_init(rows, rules->now_ms);
    int status = check_right(request, error);
    if (status == 0)
        status = publish_check_origin(request, rules->origins, error);
    if (status == 0)
        status = publish_check_body(request, body, &type, error);
    if (status == 0)
        status = publish_rows_parse(rows, type, buf_slice(&body->bytes), error);
    if (status == 0)
        status = check_channels(request, rows, error);
    return status;
}
