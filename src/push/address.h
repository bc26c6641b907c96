/* address.h - is this an address of the public Internet? Pure. */
#ifndef ROWCAST_PUSH_ADDRESS_H
#define ROWCAST_PUSH_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for every address that is not globally reachable by the registries of IANA (RFC 6890 with
 * its updates): this machine, private networks, link-local, documentation, multicast, reserved
 * ones; also where IPv6 carries such an address of IPv4 (mapped, NAT64, 6to4). False for what is no
 * address of IPv4 or IPv6. */
bool push_address_is_public(const struct sockaddr *address);

#endif
