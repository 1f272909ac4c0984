"""Hosts: whether one is reachable from the public internet, judged by its name alone."""

import ipaddress
import re

PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


def is_public_host(host: str) -> bool:
    """Return whether a host is outside private networks. Names are not resolved.

    Args:
        host: a name or an IP address, without brackets.
    """
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        labels = name.split(".")
        # some resolvers read 127.1, 0x7f000001 and 2130706433 as addresses
        return len(labels) > 1 and not NUMERIC.fullmatch(labels[-1]) and not name.endswith(PRIVATE_SUFFIXES)
    return address.is_global and not address.is_multicast
