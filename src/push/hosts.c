/* hosts.c - the form of an endpoint, and the list of hosts; see push/hosts.h.
 *
 * The URL is read strictly and by hand: what a lenient parser and libcurl would understand
 * differently (backslashes, tabs, escapes in a host) is refused. */
#include "config.h"

#include "push/hosts.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

#define HOST_MAX 253 /* bytes, RFC 1035 section 2.3.4 */
#define REF_BYTES 4

/* Google's two, Mozilla's, Microsoft's and Apple's, as their browsers give them. */
static const struct text_list vendors = {
    .items = {"fcm.googleapis.com", "jmt17.google.com", "*.push.services.mozilla.com",
              "*.notify.windows.com", "*.push.apple.com"},
    .count = 5};

const struct text_list *
push_hosts_default(void)
{
    return &vendors;
}

/* --- the parts of a URL ------------------------------------------------------------- */

struct parts {
    bool is_https;
    char host[HOST_MAX + 1]; /* lower case */
    char port[8];            /* "": none */
    const char *rest;        /* from the path on */
};

static bool
is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* A name: not empty, no empty label, and its last label no number, as which 127.1 or 0x7f.1 would
 * be read as addresses (URL standard, "ends in a number checker"). */
static bool
is_name(const char *host)
{
    size_t len = strlen(host);
    if (len == 0 || host[0] == '.' || host[0] == '-' || host[len - 1] == '.' ||
        strstr(host, "..") != NULL)
        return false;
    const char *dot = strrchr(host, '.');
    const char *label = dot != NULL ? dot + 1 : host;
    return !isdigit((unsigned char)*label);
}

static int
cut_scheme(const char **text, struct parts *parts)
{
    parts->is_https = strncasecmp(*text, "https://", 8) == 0;
    if (!parts->is_https && strncasecmp(*text, "http://", 7) != 0)
        return -1;
    *text += parts->is_https ? 8 : 7;
    return 0;
}

/* Host and port; the host may be an address, also in brackets. */
static int
cut_authority(const char **text, struct parts *parts)
{
    size_t len = 0;
    const char *p = *text;
    bool brackets = *p == '[';
    for (; *p != '\0' && *p != '/' && *p != '?' && (brackets || *p != ':'); p++) {
        char c = (char)tolower((unsigned char)*p);
        bool good = is_host_char(c) || (brackets && strchr("[]:", c) != NULL);
        if (!good || len == HOST_MAX)
            return -1;
        parts->host[len++] = c;
        brackets = brackets && c != ']';
    }
    parts->host[len] = '\0';
    if (*p == ':') {
        size_t digits = strspn(p + 1, "0123456789");
        if (digits == 0 || digits > 5)
            return -1;
        snprintf(parts->port, sizeof parts->port, "%.*s", (int)digits, p + 1);
        p += 1 + digits;
    }
    *text = p;
    return len > 0 && !brackets ? 0 : -1;
}

/* What RFC 3986 lets stand in path and query, and no fragment. */
static bool
is_rest(const char *text)
{
    static const char others[] = "-._~!$&'()*+,;=:@/?%";
    if (*text != '/')
        return false;
    for (; *text != '\0'; text++)
        if (!isalnum((unsigned char)*text) && strchr(others, *text) == NULL)
            return false;
    return true;
}

static int
split(const char *text, struct parts *parts)
{
    *parts = (struct parts){.rest = ""};
    if (cut_scheme(&text, parts) != 0 || cut_authority(&text, parts) != 0)
        return -1;
    parts->rest = text;
    return 0;
}

/* Without the port where it is the scheme's own. */
static void
write_origin(char out[PUSH_ORIGIN_MAX], const struct parts *parts)
{
    const char *usual = parts->is_https ? "443" : "80";
    bool has_port = parts->port[0] != '\0' && strcmp(parts->port, usual) != 0;
    snprintf(out, PUSH_ORIGIN_MAX, "http%s://%s%s%s", parts->is_https ? "s" : "",
             parts->host, has_port ? ":" : "", has_port ? parts->port : "");
}

/* --- the list ----------------------------------------------------------------------- */

static bool
is_origin(const char *item)
{
    return strstr(item, "://") != NULL;
}

static bool
origin_matches(const char *item, const char *origin)
{
    struct parts parts;
    char own[PUSH_ORIGIN_MAX];
    if (split(item, &parts) != 0)
        return false;
    write_origin(own, &parts);
    return strcmp(own, origin) == 0;
}

static bool
host_matches(const char *item, const char *host)
{
    size_t len = strlen(host), item_len = strlen(item);
    if (strncmp(item, "*.", 2) != 0)
        return strcasecmp(item, host) == 0;
    return len >= item_len && strcasecmp(host + len - (item_len - 1), item + 1) == 0;
}

static int
check_item(const char *item, struct error *error)
{
    struct parts parts;
    char quoted[128];
    if (is_origin(item) && split(item, &parts) == 0 && parts.rest[0] == '\0')
        return 0;
    const char *name = strncmp(item, "*.", 2) == 0 ? item + 2 : item;
    bool good = !is_origin(item) && strlen(name) <= HOST_MAX && is_name(name);
    for (const char *p = name; good && *p != '\0'; p++)
        good = is_host_char((char)tolower((unsigned char)*p));
    if (good)
        return 0;
    return error_set(
        error,
        "--push-host: %s is no host such as push.example.org or *.example.org, "
        "nor a whole origin such as http://127.0.0.1:8123",
        log_quote(quoted, sizeof quoted, item));
}

int
push_hosts_check(const struct text_list *hosts, struct error *error)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (check_item(hosts->items[i], error) != 0)
            return -1;
    return 0;
}

/* --- endpoints ---------------------------------------------------------------------- */

static bool
is_own(const struct text_list *hosts, const char *origin)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (is_origin(hosts->items[i]) && origin_matches(hosts->items[i], origin))
            return true;
    return false;
}

static bool
is_listed(const struct text_list *hosts, const char *host)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (!is_origin(hosts->items[i]) && host_matches(hosts->items[i], host))
            return true;
    return false;
}

/* Of a host that is listed by its name alone. */
static int
check_named(const struct parts *parts, const struct text_list *hosts, struct error *error)
{
    char quoted[128];
    if (!parts->is_https)
        return error_set(error, "the endpoint is not https");
    if (!is_name(parts->host))
        return error_set(error, "the endpoint's host is an address, not a name");
    if (!is_listed(hosts, parts->host))
        return error_set(error, "the endpoint's host %s is none of --push-host",
                         log_quote(quoted, sizeof quoted, parts->host));
    if (parts->port[0] != '\0' && strcmp(parts->port, "443") != 0)
        return error_set(error, "the endpoint has a port of its own");
    return 0;
}

int
push_endpoint_check(const char *endpoint, const struct text_list *hosts,
                    struct push_origin *origin, struct error *error)
{
    struct parts parts;
    if (strlen(endpoint) > PUSH_ENDPOINT_MAX)
        return error_set(error, "the endpoint has more than %d bytes", PUSH_ENDPOINT_MAX);
    if (split(endpoint, &parts) != 0)
        return error_set(error, "the endpoint is no URL of https with a plain host");
    if (hosts->count == 0)
        hosts = &vendors;
    write_origin(origin->text, &parts);
    origin->is_own = is_own(hosts, origin->text);
    if (!origin->is_own && check_named(&parts, hosts, error) != 0)
        return -1;
    if (!is_rest(parts.rest))
        return error_set(error, "the endpoint has no path, or characters that no URL has");
    return 0;
}

const char *
push_endpoint_ref(char out[PUSH_REF_MAX], const char *endpoint)
{
    struct parts parts;
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};
    char hex[2 * REF_BYTES + 1];
    EVP_Digest(endpoint, strlen(endpoint), hash, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < REF_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    bool known = split(endpoint, &parts) == 0;
    snprintf(out, PUSH_REF_MAX, "%s#%s", known ? parts.host : "?", hex);
    return out;
}
