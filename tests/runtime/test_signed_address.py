"""The signed address names an account, and only a holder of a key can create one."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from runtime.signed_address import WEBHOOK_PATH, AddressSigner

OLD, NEW, OTHER = "old-" * 8, "new-" * 8, "other" * 8


def token(keys: list[str], account: str = "default") -> str:
    return AddressSigner(keys).path(account).removeprefix(f"{WEBHOOK_PATH}/")


def forgeries() -> list[str]:
    good = token([OLD])
    account, signature = good.split(".")
    another, usual = (
        Signer(OLD, salt=salt, key_derivation="hmac", digest_method=sha256)
        for salt in (b"another.purpose", b"itsdangerous.Signer")
    )
    return [
        "",
        ".",
        account,
        f"{account}.",
        f".{signature}",
        signature,
        f"other.{signature}",
        f"{account}.{signature[:-1]}",
        f"{account}.{signature}A",
        f"{account}.{signature[::-1]}",
        f"{account}.{'A' * 43}",
        f"{good}\n",
        f" {good}",
        f"{good}/",
        f"{good}.{signature}",
        f"{account}\u0660.{signature}",
        good.upper(),
        token([OTHER]),
        another.sign(account).decode(),
        usual.sign(account).decode(),
        f"{good}!!!!",
        f"{good}\ud800",
        "x" * 100_000,
        f"{account}.{'=' * 43}",
    ]


@pytest.mark.parametrize("account", ["default", "a", "Team_7-b", "x" * 64])
def test_an_address_names_its_account(account: str) -> None:
    assert AddressSigner([OLD]).account(token([OLD], account)) == account


def test_an_address_stays_the_same_as_long_as_its_key() -> None:
    assert AddressSigner([OLD]).path("default") == AddressSigner([OLD]).path("default")


@pytest.mark.parametrize("account", ["", "x" * 65, "a.b", "a/b", "ä", "a b", "a\n"])
def test_an_account_unfit_for_a_path_gets_no_address(account: str) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        AddressSigner([OLD]).path(account)


def test_the_newest_key_signs() -> None:
    assert token([OLD, NEW]) == token([NEW])


@pytest.mark.parametrize("signed_with", [[OLD], [NEW], [OTHER]])
def test_every_listed_key_verifies(signed_with: list[str]) -> None:
    assert AddressSigner([OLD, NEW, OTHER]).account(token(signed_with)) == "default"


def test_a_removed_key_no_longer_verifies() -> None:
    assert AddressSigner([NEW]).account(token([OLD])) is None


@pytest.mark.parametrize("forged", forgeries(), ids=lambda forged: repr(forged[:30]))
def test_an_unsigned_token_names_no_account(forged: str) -> None:
    signer = AddressSigner([OLD])
    assert signer.account(forged) is None
    assert signer.account(token([OLD])) == "default"
    assert signer.account(forged) is None


@pytest.mark.parametrize("place", range(len("default")))
def test_a_token_with_a_changed_account_names_none(place: int) -> None:
    good = token([OLD])
    assert AddressSigner([OLD]).account(f"{good[:place]}X{good[place + 1 :]}") is None


@given(st.text() | st.from_regex(r"[\w-]{1,64}\.[\w-]{43}", fullmatch=True))
def test_no_text_raises_or_names_an_account(text: str) -> None:
    assert AddressSigner([OLD]).account(text) is None


def test_each_key_has_its_own_path_and_a_fingerprint_that_reveals_nothing() -> None:
    paths, fingerprints = AddressSigner([OLD, NEW]).paths("default"), AddressSigner([OLD, NEW]).fingerprints("default")
    assert paths == [AddressSigner([key]).path("default") for key in (OLD, NEW)]
    assert [len(fingerprint) for fingerprint in fingerprints] == [12, 12]
    assert not any(fingerprint in path for fingerprint in fingerprints for path in paths)
