"""Hosts: which of them the whole internet can reach, judged by their names alone."""

import ipaddress
import re

PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


def is_public_host(host: str) -> bool:
    """Whether a host is no machine of a private network. A name is not looked up.

    Args:
        host: a name or an IP address, without brackets.
    """
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        labels = name.split(".")
        # 127.1, 0x7f000001 and 2130706433 are addresses to some resolvers, and none of them is a name
        return len(labels) > 1 and not NUMERIC.fullmatch(labels[-1]) and not name.endswith(PRIVATE_SUFFIXES)
    return address.is_global and not address.is_multicast
