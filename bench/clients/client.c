/* client.c - asks for a stream as a web server (FastCGI) or as a browser (HTTP) does. */
#include "config.h"

#include "client.h"

#include <stdio.h>
#include <string.h>

#define QUERY_MAX 120 /* a FastCGI value of the short form, fcgi_client.c */

static int
open_fcgi(struct fcgi_client *client, const struct client_target *target, const char *query)
{
    char query_param[QUERY_MAX + 16];
    const char *const params[] = {"GATEWAY_INTERFACE=CGI/1.1",
                                  "SERVER_PROTOCOL=HTTP/1.1",
                                  "REQUEST_METHOD=GET",
                                  "SCRIPT_NAME=/events",
                                  "PATH_INFO=",
                                  query_param,
                                  "REMOTE_ADDR=127.0.0.1",
                                  "HTTP_ACCEPT=text/event-stream",
                                  NULL};

    snprintf(query_param, sizeof query_param, "QUERY_STRING=%s", query);
    if (fcgi_client_open(client, target->fcgi_path) != 0)
        return -1;
    return fcgi_client_send(client, params);
}

static int
open_http(struct http_client *client, const struct client_target *target, const char *query)
{
    char url[QUERY_MAX + 64];

    snprintf(url, sizeof url, "%s%s%s", target->url_path, *query == '\0' ? "" : "?", query);
    if (http_client_open(client, target->http_port) != 0)
        return -1;
    return http_client_get(client, url);
}

int
client_open(struct client *client, const struct client_target *target, const char *query,
            int number)
{
    char numbered[QUERY_MAX];
    const char *place = strstr(query, "%d");

    if (place == NULL)
        snprintf(numbered, sizeof numbered, "%s", query);
    else
        snprintf(numbered, sizeof numbered, "%.*s%d%s", (int)(place - query), query, number,
                 place + 2);
    client->is_fcgi = target->fcgi_path != NULL;
    return client->is_fcgi ? open_fcgi(&client->fcgi, target, numbered)
                           : open_http(&client->http, target, numbered);
}

bool
client_read(struct client *client, client_bytes_fn fn, void *arg)
{
    if (client->is_fcgi)
        return fcgi_client_read(&client->fcgi, fn, arg) == CLIENT_OPEN;
    return http_client_read(&client->http, fn, arg) == CLIENT_OPEN;
}

int
client_fd(const struct client *client)
{
    return client->is_fcgi ? client->fcgi.fd : client->http.fd;
}

void
client_close(struct client *client)
{
    if (client->is_fcgi)
        fcgi_client_close(&client->fcgi);
    else
        http_client_close(&client->http);
}
