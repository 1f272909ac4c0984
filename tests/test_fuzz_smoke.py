"""A short `make fuzz`: the same fuzzers, each of which notices a planted fault."""

from datetime import timedelta
from pathlib import Path

import pytest

from models.account import DEFAULT
from receiver.auth import RequestAddress, WebhookAuth
from runtime.signatures import Verifier
from runtime.signed_address import AddressSigner
from tests.fuzz.raw_connections import fuzz_lines
from tests.fuzz.receiver import fuzz_receiver
from tests.fuzz.report import Report
from tests.fuzz.verifier import fuzz_verifier

SEED = 20_261_122


def test_no_input_makes_the_verifier_raise_or_accept_a_forgery() -> None:
    report = fuzz_verifier(SEED, 20_000)
    assert not report.violations, str(report)
    assert report.outcomes["verified"] > 1000 < report.outcomes["refused"]


def test_no_request_breaks_the_receiver_or_is_stored_unauthenticated(tmp_path: Path, redis_url: str) -> None:
    report = fuzz_receiver(SEED, 1_000, tmp_path, redis_url)
    assert not report.violations, str(report)
    assert {"200", "400", "401", "404", "405", "411", "413"} <= report.outcomes.keys()


def test_no_raw_request_breaks_the_server(tmp_path: Path, redis_url: str) -> None:
    report = fuzz_lines(SEED, 300, tmp_path, redis_url)
    assert not report.violations, str(report)
    assert {"200", "400", "404"} <= report.outcomes.keys()


def test_a_verifier_that_raises_or_accepts_forgeries_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "verify", lambda self, headers, body, now: body[0] < 200)
    monkeypatch.setattr(AddressSigner, "account", lambda self, token: token.partition(".")[0] or None)
    violations = str(fuzz_verifier(SEED, 2_000).violations)
    assert "verified what was not signed" in violations
    assert "raised IndexError" in violations
    assert "from a token that is not ours" in violations


def test_missing_authentication_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> None:
    def accept_any(self: WebhookAuth, path: str) -> RequestAddress:
        """Skip the check of the address."""
        return RequestAddress(DEFAULT, None)

    monkeypatch.setattr(WebhookAuth, "_check_address", accept_any)
    assert "accepted what nobody vouched for" in str(fuzz_receiver(SEED, 200, tmp_path, redis_url).violations)


def test_an_input_that_raises_or_is_always_slow_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.report.LONGEST", timedelta(0))
    report = Report("slow")
    report.run(lambda: None, "input")
    report.run(lambda: 1 // 0, "other input")
    assert ["took" in str(report.violations), "ZeroDivisionError" in str(report.violations)] == [True, True]
