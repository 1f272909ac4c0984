"""The verifier is total: hostile input is rejected and never raises."""

import base64
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.signatures import DEFAULT_HEADERS, Verifier

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TIME = str(int(NOW.timestamp()))
BODY = b'{"a": 1}'
SECRET = "c2VjcmV0" * 4
VERIFIERS = {scheme: Verifier(scheme, [SECRET]) for scheme in DEFAULT_HEADERS}
GOOD = {scheme: verifier.sign(BODY, "msg_1", NOW) for scheme, verifier in VERIFIERS.items()}
MAC = GOOD["timestamped"]["webhook-signature"].partition("v1=")[2]

hostile_times = pytest.mark.parametrize(
    "time",
    [
        "",
        " ",
        f" {TIME}",
        f"+{TIME}",
        f"-{TIME}",
        f"{TIME}.0",
        f"{TIME[:3]}_{TIME[3:]}",
        TIME.translate({ord("0") + digit: chr(0x0660 + digit) for digit in range(10)}),
        TIME.replace("1", "¹"),
        "nan",
        "inf",
        "-inf",
        "1e9",
        "0x1",
        "9" * 12,
        "9" * 400,
        "9" * 100_000,
        "\x00",
        "None",
    ],
    ids=lambda time: repr(time[:20]),
)


def verdict(scheme: str, **changes: str) -> bool:
    headers = GOOD[scheme] | {name.replace("_", "-"): value for name, value in changes.items()}
    return VERIFIERS[scheme].verify(headers, BODY, NOW)


def standard_mac(signed: str) -> str:
    return "v1," + base64.b64encode(hmac.digest(base64.b64decode(SECRET), _bytes(signed), "sha256")).decode()


def timestamped_mac(signed: str) -> str:
    return hmac.digest(SECRET.encode(), _bytes(signed), "sha256").hex()


def _bytes(signed: str) -> bytes:
    return signed.encode("latin-1", "replace") + b"." + BODY


@hostile_times
def test_a_hostile_time_is_refused_even_if_it_was_signed(time: str) -> None:
    mac = standard_mac(f"msg_1.{time}")
    assert not verdict("standard", webhook_timestamp=time, webhook_signature=mac)
    assert not verdict("timestamped", webhook_signature=f"t={time},v1={timestamped_mac(time)}")


def test_white_space_behind_the_time_is_not_ignored_where_it_is_signed() -> None:
    for time in (f"{TIME} ", f"{TIME}\n"):
        mac = standard_mac(f"msg_1.{time}")
        assert not verdict("standard", webhook_timestamp=time, webhook_signature=mac)


def test_an_empty_message_id_is_refused_even_if_it_was_signed() -> None:
    assert verdict("standard", webhook_id="m", webhook_signature=standard_mac(f"m.{TIME}"))
    assert not verdict("standard", webhook_id="", webhook_signature=standard_mac(f".{TIME}"))


@pytest.mark.parametrize("missing", GOOD["standard"])
def test_standard_webhooks_needs_all_three_headers(missing: str) -> None:
    headers = {name: value for name, value in GOOD["standard"].items() if name != missing}
    assert not VERIFIERS["standard"].verify(headers, BODY, NOW)
    assert not VERIFIERS["standard"].verify(headers | {missing: ""}, BODY, NOW)


@pytest.mark.parametrize("time", [TIME, "1"])
def test_a_second_time_is_refused_and_not_chosen_from(time: str) -> None:
    assert not verdict("timestamped", webhook_signature=f"t={TIME},t={time},v1={MAC}")
    assert not verdict("timestamped", webhook_signature=f"t={time},v1={MAC},t={TIME}")


@pytest.mark.parametrize(
    "header", [f"v1={MAC}", f"t={TIME}", f"t={TIME},v0={MAC}", f"t={TIME},v1", f"t={TIME}v1={MAC}"]
)
def test_a_timestamped_signature_needs_its_time_and_its_version(header: str) -> None:
    assert not verdict("timestamped", webhook_signature=header)


def test_another_version_of_standard_webhooks_is_not_ours() -> None:
    mac = GOOD["standard"]["webhook-signature"].removeprefix("v1,")
    for header in (mac, f"v1a,{mac}", f"v2,{mac}", f"V1,{mac}", f"v1 {mac}", f"v1,,{mac}"):
        assert not verdict("standard", webhook_signature=header)


GARBAGE = [
    "",
    ",",
    "=",
    "v1",
    "v1,",
    "v1,=",
    "é",
    "\xff\xfe",
    "\x00",
    "\ud800",
    "v1,\ud800",
    "v1,AAA",
    "v1,A",
    "sha256=",
    "0",
]


@pytest.mark.parametrize("scheme", DEFAULT_HEADERS)
@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_garbage_is_refused_and_does_not_hide_a_good_signature(scheme: str, garbage: str) -> None:
    header = DEFAULT_HEADERS[scheme]
    for value in (garbage, f"t={TIME},v1={garbage}", garbage * 1000):
        assert not VERIFIERS[scheme].verify(GOOD[scheme] | {header: value}, BODY, NOW)
    assert not VERIFIERS["standard"].verify(GOOD["standard"] | {"webhook-id": garbage or "other"}, BODY, NOW)


def test_a_good_signature_counts_among_a_hundred_thousand_bad_ones() -> None:
    mac = base64.b64encode(bytes(32)).decode()
    bad, good = f"v1,{mac} " * 100_000, GOOD["standard"]["webhook-signature"]
    assert not verdict("standard", webhook_signature=bad)
    assert verdict("standard", webhook_signature=bad + good)
    many = f"t={TIME}" + f",v1={bytes(32).hex()}" * 100_000
    assert not verdict("timestamped", webhook_signature=many)
    assert verdict("timestamped", webhook_signature=f"{many},v1={MAC}")


names = st.sampled_from(sorted({*DEFAULT_HEADERS.values(), "webhook-id", "webhook-timestamp"}))
pieces = st.sampled_from(["t=", "v1=", "v1,", "sha256=", ",", " ", ".", TIME, "nan", "_", "A" * 43 + "=", "0" * 64])
values = st.text() | st.lists(pieces | st.text(max_size=5)).map("".join)


@pytest.mark.parametrize("scheme", DEFAULT_HEADERS)
@given(headers=st.dictionaries(names, values), body=st.binary())
def test_random_headers_never_raise_and_never_verify(scheme: str, headers: dict[str, str], body: bytes) -> None:
    assert VERIFIERS[scheme].verify(headers, body, NOW) is False
