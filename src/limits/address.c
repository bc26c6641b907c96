/* address.c - REMOTE_ADDR, as web servers and gateways write it; see address.h.
 *
 * limits.c counts by what comes of it, refusal_log.c bounds the log's lines. */
#include "config.h"

#include "limits/address.h"

#include <arpa/inet.h>
#include <stdio.h>

#define V6_BYTES 16
#define V4_BYTES 4

/* Copies the address without brackets, zone and port; false when it is too long for one. */
static bool
copy_host(char host[INET6_ADDRSTRLEN], const char *address)
{
    const char *colon = strchr(address, ':');
    size_t len = strcspn(address, "%");
    if (*address == '[')
        len = strcspn(++address, "%]");
    else if (colon != NULL &&
             strchr(colon + 1, ':') == NULL) /* only one: IPv4 and a port */
        len = (size_t)(colon - address);
    if (len >= INET6_ADDRSTRLEN)
        return false;
    memcpy(host, address, len);
    host[len] = '\0';
    return true;
}

/* Is it the address of an IPv4 host, written as one of IPv6? */
static bool
carries_v4(const unsigned char v6[V6_BYTES])
{
    static const unsigned char prefixes[][V6_BYTES - V4_BYTES] = {
        {[10] = 0xff, [11] = 0xff}, {0x00, 0x64, 0xff, 0x9b}};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (memcmp(v6, prefixes[i], sizeof prefixes[i]) == 0)
            return true;
    return false;
}

void
address_find_subscriber(const char *address, unsigned char bytes[ADDRESS_BYTES_MAX],
                        struct slice *subscriber)
{
    char host[INET6_ADDRSTRLEN];
    unsigned char v6[V6_BYTES];
    *subscriber = slice_of(address);
    if (!copy_host(host, address))
        return;
    if (inet_pton(AF_INET, host, bytes) == 1) {
        *subscriber = (struct slice){(const char *)bytes, V4_BYTES};
    } else if (inet_pton(AF_INET6, host, v6) == 1) {
        bool v4 = carries_v4(v6);
        memcpy(bytes, v4 ? v6 + V6_BYTES - V4_BYTES : v6,
               v4 ? V4_BYTES : ADDRESS_BYTES_MAX);
        *subscriber =
            (struct slice){(const char *)bytes, v4 ? V4_BYTES : ADDRESS_BYTES_MAX};
    }
}

void
address_name_subscriber(const char *address, char out[ADDRESS_TEXT_MAX])
{
    unsigned char v6[V6_BYTES] = {0};
    unsigned char bytes[ADDRESS_BYTES_MAX];
    char text[INET6_ADDRSTRLEN];
    struct slice subscriber;
    address_find_subscriber(address, bytes, &subscriber);
    if (subscriber.p != (const char *)bytes) {
        snprintf(out, ADDRESS_TEXT_MAX, "%s", address);
        return;
    }
    memcpy(v6, bytes, subscriber.len);
    bool is_v4 = subscriber.len == V4_BYTES;
    inet_ntop(is_v4 ? AF_INET : AF_INET6, v6, text, sizeof text);
    snprintf(out, ADDRESS_TEXT_MAX, "%s%s", text, is_v4 ? "" : "/64");
}
