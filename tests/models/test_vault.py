"""Bodies at rest are encrypted, with several keys for rotation."""

import pytest
from cryptography.fernet import Fernet

from runtime.encryption import BodyCipher, EncryptedBody, name_of
from runtime.errors import Transient

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BODY = b'{"secret": "s3cr3t"}'


def test_what_is_sealed_shows_nothing_and_opens_again() -> None:
    sealed = BodyCipher([OLD]).seal(BODY)
    assert b"s3cr3t" not in sealed.content
    assert BodyCipher([OLD]).open(sealed) == BODY


def test_the_newest_key_seals_and_each_opens_what_it_sealed() -> None:
    both, old = BodyCipher([OLD, NEW]), BodyCipher([OLD]).seal(BODY)
    assert both.seal(BODY).key == name_of(NEW)
    assert both.open(old) == both.open(both.seal(BODY)) == BODY


def test_without_a_key_bodies_are_kept_as_they_came_and_stay_readable_when_there_is_one() -> None:
    plain = BodyCipher([]).seal(BODY)
    assert plain == EncryptedBody(BODY, None)
    assert BodyCipher([NEW]).open(plain) == BODY


@pytest.mark.parametrize(
    "sealed", [BodyCipher([OLD]).seal(BODY), EncryptedBody(b"damaged", name_of(NEW)), EncryptedBody(b"", name_of(NEW))]
)
def test_what_does_not_open_waits_for_an_operator(sealed: EncryptedBody) -> None:
    with pytest.raises(Transient, match=r"sealed with key|does not open"):
        BodyCipher([NEW]).open(sealed)


def test_neither_keys_nor_bodies_show() -> None:
    assert "s3cr3t" not in repr(BodyCipher([]).seal(BODY))
    assert NEW not in repr(BodyCipher([NEW])) + name_of(NEW)
