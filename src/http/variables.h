/* variables.h - the meta-variables of a request, collected. Pure: no I/O. */
#ifndef ROWCAST_HTTP_VARIABLES_H
#define ROWCAST_HTTP_VARIABLES_H

enum variable {
    VAR_METHOD,
    VAR_PATH,
    VAR_QUERY,
    VAR_ACCEPT,
    VAR_LAST_EVENT_ID,
    VAR_ORIGIN,
    VAR_AUTHORIZATION,
    VAR_COOKIE,
    VAR_CORS_METHOD,
    VAR_CORS_HEADERS,
    VAR_ADDRESS,
    VAR_CONTENT_TYPE,
    VAR_CONTENT_LENGTH,
    VAR_HOST,
    VAR_HTTPS,
    VAR_FETCH_SITE,
    VAR_USER, /* from here on: set by the web server; rights depend on them */
    VAR_CHANNELS,
    VAR_ADMIN,
    VAR_PUBLISH,
    VAR_MAX_STREAMS,
    VARS
};

struct variables {
    const char *values[VARS]; /* of envp; NULL: not there */
    const char *conflict;     /* the name of a granting variable with two values, or NULL */
};

/* envp: "NAME=value" strings, NULL-terminated, which must outlive *variables. */
void variables_collect(struct variables *variables, const char *const *envp);

/* As the web server calls it: "REMOTE_USER". */
const char *variable_name(enum variable variable);

#endif
