/* remedy.h - what to do about a fault on the way, for each web server. Pure. */
#ifndef ROWCAST_DOCTOR_REMEDY_H
#define ROWCAST_DOCTOR_REMEDY_H

enum doctor_server { SERVER_OTHER, SERVER_APACHE, SERVER_LIGHTTPD, SERVER_NGINX, SERVERS };

enum doctor_fault {
    FAULT_MOUNT,         /* the URL is not rowcast's */
    FAULT_GATEWAY,       /* the web server does not reach rowcast */
    FAULT_LOGIN,         /* 401, 403 from the web server */
    FAULT_PATH_INFO,     /* what follows the mount point does not arrive */
    FAULT_QUERY,         /* the query string does not arrive */
    FAULT_BUFFERING,     /* pieces are collected */
    FAULT_COMPRESSION,   /* Content-Encoding on events */
    FAULT_TIMEOUT,       /* a silent stream is cut */
    FAULT_RESUME,        /* Last-Event-ID does not arrive */
    FAULT_AUTHORIZATION, /* the Authorization header does not arrive */
    FAULT_CACHE_CONTROL, /* our header was changed */
    FAULT_STREAMS,       /* HTTP/2: few streams at once */
    FAULT_CLAIM,         /* a login that the server has not checked sets the user */
    FAULT_DELAY,         /* each piece waits 40 or 200 ms */
    FAULTS
};

/* Which one it is, by the Server header ("" is none). It names the foremost server, which need
 * not be the one that speaks to rowcast. */
enum doctor_server doctor_server_of(const char *server_header);

/* The remedy, lines that end in LF, except the last one. Never NULL. */
const char *doctor_remedy(enum doctor_fault fault, enum doctor_server server);

#endif
