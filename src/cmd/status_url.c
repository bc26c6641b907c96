/* status_url.c - see cmd/status_url.h. Follows no redirect; curl's own rules for proxies hold. */
#include "config.h"

#include "cmd/status_url.h"

#ifdef HAVE_CURL
#include <curl/curl.h>

#define LIMIT_MS 10000L

static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct buf *body = arg;
    size_t len = size * count;
    if (body->len + len > STATUS_BYTES_MAX)
        return 0;
    buf_append(body, bytes, len);
    return body->failed ? 0 : len;
}

static int
judge(long status, const char *type, const char *url, struct error *error)
{
    if (status == 403)
        return error_set(error,
                         "%s answers 403: the web server must set ROWCAST_ADMIN=1 for "
                         "this address",
                         url);
    if (status != 200)
        return error_set(error, "%s answers %ld: is it the address of /events/status?", url,
                         status);
    if (type == NULL || strncmp(type, "application/json", 16) != 0)
        return error_set(error, "%s gives no JSON: is it the address of /events/status?",
                         url);
    return 0;
}

static int
get(CURL *curl, const char *url, struct error *error)
{
    long status = 0;
    char *type = NULL;
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        return error_set(error, "%s: %s", url, curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    return judge(status, type, url, error);
}

int
status_url_get(const char *url, struct buf *body, struct error *error)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    int result = -1;
    if (curl == NULL || headers == NULL) {
        error_set(error, "out of memory");
    } else {
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, LIMIT_MS);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
        result = get(curl, url, error);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return result;
}

#else

int
status_url_get(const char *url, struct buf *body, struct error *error)
{
    (void)url;
    (void)body;
    return error_set(error,
                     "--url: this rowcast was built without libcurl; --db FILE works");
}

#endif
