/* variables.c - the meta-variables of a request (RFC 3875) that rowcast knows.
 *
 * http/request.c calls it first for each request. A name that comes twice is settled here: of the
 * variables that rights depend on two different values are a conflict, which http/request.c
 * refuses; of Last-Event-ID the higher one counts, of all others the first. What a value means is
 * not looked at.
 *
 * A new variable is a line in `enum variable` and one in variable_names. */
#include "config.h"

#include "http/variables.h"

#include <string.h>

#include "http/start_id.h"

/* Nothing that begins with HTTP_ may stand from VAR_USER on: the client writes those. */
static const char *const variable_names[VARS] = {
    [VAR_METHOD] = "REQUEST_METHOD",
    [VAR_PATH] = "PATH_INFO",
    [VAR_QUERY] = "QUERY_STRING",
    [VAR_ACCEPT] = "HTTP_ACCEPT",
    [VAR_LAST_EVENT_ID] = "HTTP_LAST_EVENT_ID",
    [VAR_ORIGIN] = "HTTP_ORIGIN",
    [VAR_AUTHORIZATION] = "HTTP_AUTHORIZATION",
    [VAR_COOKIE] = "HTTP_COOKIE",
    [VAR_CORS_METHOD] = "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    [VAR_CORS_HEADERS] = "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
    [VAR_ADDRESS] = "REMOTE_ADDR",
    [VAR_CONTENT_TYPE] = "CONTENT_TYPE",
    [VAR_CONTENT_LENGTH] = "CONTENT_LENGTH",
    [VAR_HOST] = "HTTP_HOST",
    [VAR_HTTPS] = "HTTPS",
    [VAR_FETCH_SITE] = "HTTP_SEC_FETCH_SITE",
    [VAR_USER] = "REMOTE_USER",
    [VAR_CHANNELS] = "ROWCAST_CHANNELS",
    [VAR_ADMIN] = "ROWCAST_ADMIN",
    [VAR_PUBLISH] = "ROWCAST_PUBLISH",
    [VAR_MAX_STREAMS] = "ROWCAST_MAX_STREAMS",
};

const char *
variable_name(enum variable variable)
{
    return variable_names[variable];
}

static void
collect_variable(struct variables *variables, int variable, const char *value)
{
    const char **var = &variables->values[variable];

    if (*var == NULL)
        *var = value;
    else if (variable == VAR_LAST_EVENT_ID) /* nginx passes each of two headers on */
        *var = start_id_further(*var, value);
    else if (variable >= VAR_USER && strcmp(*var, value) != 0)
        variables->conflict = variable_names[variable];
}

void
variables_collect(struct variables *variables, const char *const *envp)
{
    *variables = (struct variables){0};
    for (; *envp != NULL; envp++) {
        for (int i = 0; i < VARS; i++) {
            size_t len = strlen(variable_names[i]);
            if (strncmp(*envp, variable_names[i], len) == 0 && (*envp)[len] == '=') {
                collect_variable(variables, i, *envp + len + 1);
                break;
            }
        }
    }
}
