"""Hosts are network namespaces with addresses of their own; where they cannot be made, a sentence says why."""

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.network.namespaces import OUTSIDE, hosts, why_not

CONNECT = "import socket; socket.create_connection(('{}', {}), 30).close()"


def test_a_host_reaches_the_stores_from_its_own_address() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with hosts(2) as [_, host], socket.create_server((OUTSIDE, 0)) as server:
        connect = shlex.quote(CONNECT.format(*server.getsockname()))
        subprocess.run(shlex.split(host.command(f"{sys.executable} -c {connect}")), check=True)
        line, (address, _port) = server.accept()
        line.close()
    assert address == host.address
    assert host.name not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_no_ip_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_not() == "there is no `ip` on this machine (package iproute2)"


def test_no_root_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda _: "/sbin/ip")
    assert why_not() == "network namespaces need root"
