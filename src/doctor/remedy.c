/* remedy.c - the table of remedies.
 *
 * Called by doctor/judge.c. The reasons are beside the lines in the shipped configurations
 * (apache/, lighttpd/, nginx/); each remedy is one of those lines, proven by a test that takes
 * it away (tests/doctor.bats). An empty field means SERVER_OTHER's. */
#include "config.h"

#include "doctor/remedy.h"

#include <stddef.h>
#include <strings.h>

#define BEFORE "\nIf another proxy or a CDN stands before it, look there too."

static const char *const remedies[FAULTS][SERVERS] = {
    [FAULT_MOUNT] =
        {
            [SERVER_OTHER] =
                "Give the URL under which the web server passes requests to rowcast, "
                "without /health or /status.",
            [SERVER_APACHE] =
                "Is apache/rowcast.conf enabled (a2enmod proxy_fcgi, a2enconf rowcast) "
                "in this virtual host, and its <Location> this path?",
            [SERVER_LIGHTTPD] =
                "Is lighttpd/rowcast.conf enabled (lighttpd-enable-mod rowcast), its path "
                "this one in all three places, and \"check-local\" => \"disable\"?",
            [SERVER_NGINX] =
                "Is nginx/rowcast.conf included in this server { }, and its location "
                "this path?",
        },
    [FAULT_GATEWAY] =
        {
            [SERVER_OTHER] =
                "Is `rowcast serve` running, at the address that the web server's "
                "configuration names? The web server's error log has the cause.",
            [SERVER_APACHE] =
                "Is `rowcast serve` running, its socket the one in ProxyPass, and may "
                "Apache's user write to that socket (--listen-mode 0660, group www-data)?\n"
                "See Apache's error log.",
            [SERVER_LIGHTTPD] =
                "Is `rowcast serve` running, its socket the one in fastcgi.server, and may "
                "lighttpd's user write to it (--listen-mode 0660, group www-data)?\n"
                "See lighttpd's error log; under bin-path also server.breakagelog.",
            [SERVER_NGINX] =
                "Is `rowcast serve` running, its socket the one in fastcgi_pass, and may "
                "nginx's user write to that socket (--listen-mode 0660, group www-data)?\n"
                "See nginx's error log.",
        },
    [FAULT_LOGIN] =
        {
            [SERVER_OTHER] =
                "Give a login in the URL (https://USER:PASSWORD@host/events) or a ticket "
                "(--ticket, ROWCAST_TICKET), as a page would have them.",
        },
    [FAULT_PATH_INFO] =
        {
            [SERVER_OTHER] =
                "Have the web server pass what follows the mount point as PATH_INFO.",
            [SERVER_APACHE] =
                "In the <Location>: ProxyFCGISetEnvIf \"reqenv('SCRIPT_NAME') =~ "
                "m#^(/events)(.*)$#\" PATH_INFO \"$2\"",
            [SERVER_LIGHTTPD] =
                "In fastcgi.server: \"check-local\" => \"disable\", and the path there the "
                "one of the URL, without a slash at its end.",
            [SERVER_NGINX] =
                "In the location: fastcgi_split_path_info ^(/events)(.*)$; and\n"
                "fastcgi_param PATH_INFO $fastcgi_path_info; and the location must match "
                "/events/health too.",
        },
    [FAULT_QUERY] =
        {
            [SERVER_OTHER] = "Have each server on the way pass the query string on.",
            [SERVER_NGINX] =
                "In the location: fastcgi_param QUERY_STRING $query_string; as a proxy: a "
                "proxy_pass with a path needs $is_args$args where it has variables.",
        },
    [FAULT_BUFFERING] =
        {
            [SERVER_OTHER] =
                "Turn off response buffering for this path in each proxy or CDN on the "
                "way.\n"
                "Ask the web server on its own machine, without them, to see where it is.",
            [SERVER_APACHE] =
                "In the <Location>: flushpackets=on at the end of ProxyPass (where Apache "
                "is a proxy too)." BEFORE,
            [SERVER_LIGHTTPD] =
                "In the block of this path: server.stream-response-body = 2" BEFORE,
            [SERVER_NGINX] =
                "In the location: fastcgi_buffering off; (as a proxy: proxy_buffering "
                "off;) and "
                "gzip off;\nand no fastcgi_ignore_headers X-Accel-Buffering." BEFORE,
        },
    [FAULT_COMPRESSION] =
        {
            [SERVER_OTHER] = "Turn compression off for this path: it holds small events "
                             "back until a block "
                             "is full.",
            [SERVER_APACHE] =
                "In the <Location>: SetEnv no-gzip 1 and SetEnv no-brotli 1; as a proxy of "
                "another server too.",
            [SERVER_LIGHTTPD] = "Take text/event-stream out of deflate.mimetypes.",
            [SERVER_NGINX] = "In the location: gzip off; (gzip_types must not be * or have "
                             "text/event-stream). The same for brotli.",
        },
    [FAULT_TIMEOUT] =
        {
            [SERVER_OTHER] = "Raise the idle (read) timeout of each server on the way "
                             "above two heartbeats "
                             "(rowcast serve --heartbeat, 15 s), or lower --heartbeat.",
            [SERVER_APACHE] =
                "timeout=60 at the end of ProxyPass (above two heartbeats of 15 s), or a "
                "lower rowcast serve --heartbeat." BEFORE,
            [SERVER_LIGHTTPD] = "server.max-write-idle and \"read-timeout\" above two "
                                "heartbeats (15 s), or a "
                                "lower rowcast serve --heartbeat." BEFORE,
            [SERVER_NGINX] =
                "fastcgi_read_timeout 60s; (as a proxy: proxy_read_timeout) above two "
                "heartbeats of 15 s, or a lower rowcast serve --heartbeat." BEFORE,
        },
    [FAULT_RESUME] =
        {
            [SERVER_OTHER] = "Have each proxy on the way pass the request header "
                             "Last-Event-ID on; until "
                             "then a page that comes back loses what it missed.",
            [SERVER_NGINX] =
                "Look for proxy_set_header Last-Event-ID, proxy_pass_request_headers off, "
                "or a\n"
                "fastcgi_param HTTP_LAST_EVENT_ID that hides the header." BEFORE,
            [SERVER_APACHE] =
                "Look for RequestHeader unset Last-Event-ID or a ProxyFCGISetEnvIf on\n"
                "HTTP_LAST_EVENT_ID." BEFORE,
        },
    [FAULT_AUTHORIZATION] =
        {
            [SERVER_OTHER] =
                "Have the web server pass the Authorization header on to rowcast.",
            [SERVER_APACHE] = "In the <Location>: CGIPassAuth On",
            [SERVER_NGINX] = "Look for a fastcgi_param HTTP_AUTHORIZATION or "
                             "fastcgi_pass_request_headers "
                             "off; as a proxy: proxy_set_header Authorization." BEFORE,
        },
    [FAULT_CACHE_CONTROL] =
        {
            [SERVER_OTHER] = "Leave rowcast's Cache-Control (no-cache, no-transform) as it "
                             "is: without it "
                             "something on the way may store or compress events.",
            [SERVER_NGINX] =
                "Look for expires, add_header Cache-Control or fastcgi_hide_header in this "
                "location or above it." BEFORE,
            [SERVER_APACHE] =
                "Look for Header set Cache-Control and ExpiresActive on this path." BEFORE,
            [SERVER_LIGHTTPD] =
                "Look for setenv.set-response-header and expire.url on this path." BEFORE,
        },
    [FAULT_STREAMS] =
        {
            [SERVER_OTHER] =
                "Have the tabs of a browser share one stream (BroadcastChannel).",
            [SERVER_APACHE] =
                "Have the tabs of a browser share one stream (BroadcastChannel), or set\n"
                "Protocols http/1.1 for the host name that the stream is served from.",
            [SERVER_LIGHTTPD] =
                "Have the tabs of a browser share one stream (BroadcastChannel), or set\n"
                "server.feature-flags += ( \"server.h2proto\" => \"disable\" ).",
        },
    [FAULT_CLAIM] =
        {
            [SERVER_OTHER] =
                "Only a login that was checked may set REMOTE_USER. HAProxy passes on what "
                "the browser claims:\n"
                "http-request del-header Authorization unless { http_auth(...) }, as in "
                "haproxy/rowcast.cfg.",
            [SERVER_NGINX] = "In the location: no fastcgi_param REMOTE_USER $remote_user "
                             "(and no include "
                             "fastcgi_params, which\n"
                             "has it) without auth_basic beside it, and never from a "
                             "request header, as in "
                             "nginx/rowcast.conf.",
            [SERVER_APACHE] = "Only Apache's own login may set REMOTE_USER: look for "
                              "SetEnvIf, RewriteRule "
                              "and\nProxyFCGISetEnvIf with REMOTE_USER.",
            [SERVER_LIGHTTPD] = "Only mod_auth may set REMOTE_USER: look for "
                                "setenv.set-environment with REMOTE_USER.",
        },
    [FAULT_DELAY] =
        {
            [SERVER_OTHER] =
                "A proxy on the way waits to fill its packets (Nagle's algorithm, with "
                "delayed acknowledgements).\n"
                "HAProxy: option http-no-delay. Another one: its option for TCP_NODELAY.",
            [SERVER_NGINX] = "tcp_nodelay on; (its default). HAProxy before it: option "
                             "http-no-delay." BEFORE,
        },
};

enum doctor_server
doctor_server_of(const char *server_header)
{
    if (strncasecmp(server_header, "Apache", 6) == 0)
        return SERVER_APACHE;
    if (strncasecmp(server_header, "lighttpd", 8) == 0)
        return SERVER_LIGHTTPD;
    if (strncasecmp(server_header, "nginx", 5) == 0)
        return SERVER_NGINX;
    return SERVER_OTHER;
}

const char *
doctor_remedy(enum doctor_fault fault, enum doctor_server server)
{
    const char *text = remedies[fault][server];

    return text != NULL ? text : remedies[fault][SERVER_OTHER];
}
