/* address.h - who is behind an address? Pure. */
#ifndef ROWCAST_LIMITS_ADDRESS_H
#define ROWCAST_LIMITS_ADDRESS_H

#include "base/slice.h"

#define ADDRESS_BYTES_MAX 8

/* Sets *subscriber to the bytes that stand for the address's subscriber: they are of `bytes`, or of
 * the text itself where it is no address. All 4 of IPv4; of IPv6 the first 8, as a host has all the
 * addresses behind them to choose from (RFC 4291 section 2.5.4). Addresses that carry one of IPv4
 * are that: ::ffff:192.0.2.7 (RFC 4291 section 2.5.5.2), 64:ff9b::192.0.2.7 (NAT64, RFC 6052).
 *
 * Gateways write REMOTE_ADDR in more ways than RFC 3875 section 4.1.8 has: `[2001:db8::1]`,
 * `[2001:db8::1]:443`, `192.0.2.7:443`, `fe80::1%eth0` (its zone is left out). */
void address_find_subscriber(const char *address, unsigned char bytes[ADDRESS_BYTES_MAX],
                             struct slice *subscriber);

/* The subscriber as text: "192.0.2.7", "2001:db8:0:1::/64", or the text itself, cut to fit. */
#define ADDRESS_TEXT_MAX 64
void address_name_subscriber(const char *address, char out[ADDRESS_TEXT_MAX]);

#endif
