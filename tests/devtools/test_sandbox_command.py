"""`bin/inbox sandbox` shows our bookings on its page."""

from threading import Thread

import pytest
import urllib3
from click.testing import CliRunner

from devtools.sandbox import command as stand_in
from devtools.sandbox.server import Sandbox
from devtools.sandbox_command import sandbox
from tests.worker.harness import Harness


def test_its_page_shows_our_bookings_and_it_accepts_the_sandboxs_options(
    sample_data: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(meetergo: Sandbox) -> None:
        Thread(target=meetergo.serve, daemon=True).start()
        with urllib3.PoolManager() as pool:
            seen.append(pool.request("GET", f"{meetergo.url}/sandbox/view").json()["platform"])
        seen.append(meetergo.faults.drop)
        meetergo.stop()
        meetergo.close()

    monkeypatch.setattr(stand_in, "serve", look)
    done = CliRunner().invoke(sandbox, ["--port", "0", "--drop", "0.5"])
    assert done.exit_code == 0, done.output
    assert seen == [{"state": "present"}, 0.5]
