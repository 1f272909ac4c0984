"""The fuzzed verifier: any headers and body in, a verdict out, and acceptance only of what was signed."""

from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from runtime.signatures import Headers, Verifier
from runtime.signed_address import AddressSigner
from tests.fuzz.corpus import WORDS, load
from tests.fuzz.mutation import Mutator
from tests.fuzz.report import Report
from tests.fuzz.signed import SCHEMES, SECRET, Signed

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VERIFIERS = {scheme: Verifier(scheme, [SECRET]) for scheme in SCHEMES}
KEYS = ["old-key-" * 4, "new-key-" * 4]
OFFSETS = [timedelta(seconds=seconds) for seconds in (0, 0, 0, 0, 299, 300, 301, -300, -301, 86400)]
TOKENS_ONE_IN = 5


def fuzz_verifier(seed: int, inputs: int) -> Report:
    """Headers, bodies, times and tokens, mutated from the corpus."""
    rng, report = Random(seed), Report("verifier")
    mutator = Mutator(rng, WORDS)
    good, near, tokens = load("signed"), load("near_misses"), load("tokens")
    messages, addresses = [_message(**item) for item in good], AddressSigner(KEYS)
    _expect(True, report, messages)
    _expect(False, report, [_message(**item) for item in near])
    donors = [value for message in messages for value in message.headers.values()]
    for _ in range(inputs):
        if rng.randrange(TOKENS_ONE_IN):
            _try_headers(report, mutator, messages, donors)
        else:
            _try_token(report, mutator, addresses, tokens)
    return report


def _message(scheme: str, headers: Headers, body: str) -> Signed:
    return Signed(scheme, headers, body.encode(), NOW)


def _expect(verdict: bool, report: Report, messages: list[Signed]) -> None:
    for message in messages:
        verify = partial(VERIFIERS[message.scheme].verify, message.headers, message.body, NOW)
        if report.run(verify, message) is not verdict:
            report.violate(f"the corpus was not {verdict}", message)


def _try_headers(report: Report, mutator: Mutator, messages: list[Signed], donors: list[str]) -> None:
    rng, message = mutator.rng, mutator.rng.choice(messages)
    headers, body = _mutated(dict(message.headers), mutator, donors), message.body
    if not rng.randrange(4):
        body = mutator.bytes(body)
    scheme = message.scheme if rng.randrange(8) else rng.choice(SCHEMES)
    now = NOW + rng.choice(OFFSETS)
    quote = (scheme, headers, body, now)
    verdict = report.run(partial(VERIFIERS[scheme].verify, headers, body, now), quote)
    report.outcomes["verified" if verdict else "refused"] += 1
    if verdict not in (True, False):
        report.violate(f"no verdict but {verdict!r}", quote)
    if verdict and not any(each.scheme == scheme and each.allows(headers, body, now) for each in messages):
        report.violate("verified what was not signed", quote)


def _mutated(headers: dict[str, str], mutator: Mutator, donors: list[str]) -> dict[str, str]:
    rng = mutator.rng
    for name in list(headers):
        choice = rng.randrange(10)
        if choice == 0:
            del headers[name]
        elif choice == 1:
            headers[name] = rng.choice(donors)
        elif choice < 6:
            headers[name] = mutator.text(headers[name])
    return headers


def _try_token(report: Report, mutator: Mutator, addresses: AddressSigner, tokens: dict[str, Any]) -> None:
    rng = mutator.rng
    token = rng.choice(tokens["good"] + tokens["near"])
    if rng.randrange(10):
        token = mutator.text(token)
    account = report.run(partial(addresses.account, token), token)
    report.outcomes["token refused" if account is None else "token read"] += 1
    if account is not None and not is_ours(token, tokens["good"]):
        report.violate(f"read {account!r} from a token that is not ours", token)


def is_ours(token: str, good: list[str]) -> bool:
    """Whether a token carries an account and its MAC as signed; base64 can encode a MAC in several ways."""
    try:
        return _parts(token) in map(_parts, good)
    except ValueError:
        return False


def _parts(token: str) -> tuple[str, bytes]:
    account, _, mac = token.partition(".")
    return account, urlsafe_b64decode(mac + "=")
