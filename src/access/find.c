/* find.c - the header Authorization (RFC 6750 section 2.1), ticket=, the cookie (RFC 6265
 * section 4.2).
 *
 * Nothing is decoded: a ticket has no character that would have to be. What is in quotes or
 * escapes is passed on unchanged and refused as malformed. */
#include "config.h"

#include "access/find.h"

#include <string.h>
#include <strings.h>

#define BEARER "Bearer"
#define BLANK " \t"

static struct slice
cut_blanks(struct slice text)
{
    while (text.len > 0 && strchr(BLANK, text.p[text.len - 1]) != NULL)
        text.len--;
    return text;
}

/* Is the header's scheme Bearer, whatever the case (RFC 9110 section 11.1)? */
static bool
find_in_authorization(const char *header, struct slice *ticket)
{
    if (header == NULL)
        return false;
    header += strspn(header, BLANK);
    size_t len = strcspn(header, BLANK);
    if (len != strlen(BEARER) || strncasecmp(header, BEARER, len) != 0)
        return false;
    header += len;
    header += strspn(header, BLANK);
    *ticket = cut_blanks(slice_of(header));
    return true;
}

/* The next pair of a Cookie header; moves *rest behind it. False at the end. */
static bool
next_cookie(const char **rest, struct slice *name, struct slice *value)
{
    *rest += strspn(*rest, BLANK ";");
    if (**rest == '\0')
        return false;
    struct slice pair = {*rest, strcspn(*rest, ";")};
    *rest += pair.len;
    const char *equals = memchr(pair.p, '=', pair.len);
    size_t len = equals != NULL ? (size_t)(equals - pair.p) : pair.len;
    *name = cut_blanks((struct slice){pair.p, len});
    len += equals != NULL ? 1 : 0;
    *value = (struct slice){pair.p + len, pair.len - len};
    while (value->len > 0 && strchr(BLANK, value->p[0]) != NULL)
        *value = (struct slice){value->p + 1, value->len - 1};
    *value = cut_blanks(*value);
    return true;
}

/* A browser sends several cookies of one name, of different paths or domains, and nothing says
 * which is whose: a neighbour on a subdomain may have set one. */
static int
find_in_cookies(const char *header, struct slice *ticket, struct error *error)
{
    struct slice name, value;
    while (header != NULL && next_cookie(&header, &name, &value)) {
        if (!slice_equal(name, slice_of(TICKET_COOKIE)))
            continue;
        if (ticket->p != NULL && !slice_equal(*ticket, value)) {
            error_set(error, "two cookies " TICKET_COOKIE " with different values: delete "
                             "the one of the other path or domain");
            return 400;
        }
        *ticket = value;
    }
    return 0;
}

int
ticket_find(const struct ticket_places *places, struct slice *ticket, struct error *error)
{
    *ticket = (struct slice){NULL, 0};
    if (find_in_authorization(places->authorization, ticket))
        return 0;
    if (places->parameter != NULL) {
        *ticket = slice_of(places->parameter);
        return 0;
    }
    return find_in_cookies(places->cookie, ticket, error);
}
