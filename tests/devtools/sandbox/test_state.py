"""The state, stored in a file on request."""

from collections.abc import Callable
from pathlib import Path

import pytest
from urllib3 import PoolManager

from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.server import Sandbox, sandbox
from devtools.sandbox.state.company import UnusableState
from tests.devtools.sandbox.conftest import Api, ManualClock, add_host, at, booking


def test_the_state_survives_a_restart(tmp_path: Path, http: PoolManager, clock: ManualClock) -> None:
    path = tmp_path / "state.json"
    with sandbox(now=clock, state=path) as first:
        host = add_host(first)
        assert Api(first, http)("POST /v4/booking", booking(host, at(9))).status == 201
    with sandbox(now=clock, state=path) as second:
        assert second.appointments == first.appointments
        assert (second.users, second.key) == (first.users, first.key)
        second.actions.cancel(next(iter(second.appointments)))
        assert Api(second, http)("POST /v4/booking", booking(host, at(9))).status == 201
        assert len(second.appointments) == 2


def test_an_ambiguous_write_is_stored_too(tmp_path: Path, http: PoolManager, start: Callable[..., Sandbox]) -> None:
    meetergo = start(state=tmp_path / "state.json")
    api = Api(meetergo, http)
    meetergo.inject_faults("PATCH /v4/personal-page/me", "commit_then_drop")
    with pytest.raises(Exception, match="Connection aborted"):
        api("PATCH /v4/personal-page/me", {"description": "kept"})
    assert "kept" in (tmp_path / "state.json").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"seed": 3}', "seed 3: use that one"), ("[]", "name another file"), ("no json", "name another file")],
)
def test_an_unusable_file_gives_an_error_message(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(UnusableState, match=said):
        Sandbox(FaultPlan(), state=tmp_path / "state.json")
