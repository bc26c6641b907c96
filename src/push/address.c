/* address.c - the address blocks that no push service is in; see push/address.h.
 *
 * Called by push/transport.c when libcurl opens a socket, with the very address that it connects
 * to: a name that resolves to another address the second time (DNS rebinding) gains nothing. */
#include "config.h"

#include "push/address.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

struct block4 {
    uint32_t first;
    unsigned bits;
};

/* www.iana.org/assignments/iana-ipv4-special-registry, and multicast (RFC 5771). */
static const struct block4 special4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* shared by customers of a provider, RFC 6598 */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved, and broadcast */
};

static bool
is_public4(uint32_t address)
{
    for (size_t i = 0; i < sizeof special4 / sizeof *special4; i++)
        if ((address ^ special4[i].first) >> (32 - special4[i].bits) == 0)
            return false;
    return true;
}

static uint32_t
word_at(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Global unicast is 2000::/3 (RFC 4291 section 2.4), but for some blocks within it. */
static bool
is_public6(const unsigned char *p)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(p, mapped, 12) == 0 || memcmp(p, nat64, 12) == 0)
        return is_public4(word_at(p + 12));
    if (p[0] == 0x20 && p[1] == 0x02) /* 6to4, RFC 3056 */
        return is_public4(word_at(p + 2));
    if ((p[0] & 0xe0) != 0x20)
        return false;
    if (p[0] == 0x20 && p[1] == 0x01 && p[2] < 2) /* 2001::/23: Teredo, ORCHID and others */
        return false;
    if (word_at(p) == 0x20010db8 || (p[0] == 0x3f && p[1] == 0xff && p[2] < 0x10))
        return false; /* documentation: 2001:db8::/32, 3fff::/20 */
    return true;
}

bool
push_address_is_public(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        return is_public4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family != AF_INET6)
        return false;
    memcpy(&v6, address, sizeof v6);
    return is_public6(v6.sin6_addr.s6_addr);
}
