"""Hosts on this machine: network namespaces behind a bridge, each with an address of its own. Linux, as root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

NETWORK = f"10.{200 + os.getpid() // 256 % 50}.{os.getpid() % 256}"
"""Of this process, so that two of them do not answer for each other."""
OUTSIDE = f"{NETWORK}.1"
"""Address of the stores and of the load, which are in no namespace."""
FIRST = 11


@dataclass(frozen=True)
class Host:
    """One host.

    Attributes:
        name: of its namespace.
        address: where the others reach it.
    """

    name: str
    address: str

    def command(self, command: str) -> str:
        """Return a command that runs on this host."""
        return f"ip netns exec {self.name} {command}"


def why_not() -> str:
    """Return why there can be no hosts here; empty if there can."""
    if shutil.which("ip") is None:
        return "there is no `ip` on this machine (package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with hosts(1):
            return ""
    except subprocess.CalledProcessError as error:
        return f"`{' '.join(error.cmd)}` failed: {error.stderr.strip()}"


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Yield N hosts on one network; they are removed when the block ends."""
    bridge = f"mgb{os.getpid()}"
    with ExitStack() as stack:
        _ip(f"link add {bridge} type bridge")
        stack.callback(_ip, f"link delete {bridge}")
        _ip(f"address add {OUTSIDE}/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        made = []
        for number in range(count):
            host = Host(f"{bridge}-{number}", f"{NETWORK}.{FIRST + number}")
            _ip(f"netns add {host.name}")
            stack.callback(_ip, f"netns delete {host.name}")  # and its end of the cable
            cable = f"{bridge}v{number}"
            _ip(f"link add {cable} master {bridge} type veth peer name eth0 netns {host.name}")
            _ip(f"link set {cable} up")
            for command in (f"address add {host.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
                _ip(f"-n {host.name} {command}")
            made.append(host)
        yield made


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True, text=True)  # noqa: S607 - see why_not
