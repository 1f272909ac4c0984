"""Bodies at rest are encrypted, with several keys for rotation."""

import pytest
from cryptography.fernet import Fernet

from runtime.encryption import BodyCipher, EncryptedBody, key_id
from runtime.errors import Transient

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BODY = b'{"secret": "s3cr3t"}'


def test_an_encrypted_body_is_unreadable_and_decrypts() -> None:
    encrypted_body = BodyCipher([OLD]).encrypt(BODY)
    assert b"s3cr3t" not in encrypted_body.content
    assert BodyCipher([OLD]).decrypt(encrypted_body) == BODY


def test_the_newest_key_encrypts_and_every_key_decrypts() -> None:
    both, old = BodyCipher([OLD, NEW]), BodyCipher([OLD]).encrypt(BODY)
    assert both.encrypt(BODY).key == key_id(NEW)
    assert both.decrypt(old) == both.decrypt(both.encrypt(BODY)) == BODY


def test_a_body_that_an_older_release_encrypted_decrypts() -> None:
    assert BodyCipher([OLD, NEW]).decrypt(EncryptedBody(Fernet(OLD).encrypt(BODY), key_id(OLD))) == BODY


def test_encryption_adds_only_its_header_and_padding() -> None:
    assert len(BodyCipher([OLD]).encrypt(bytes(1500)).content) <= 1500 + 57 + 16


def test_without_a_key_bodies_are_stored_in_plain_and_stay_readable_with_one() -> None:
    plain = BodyCipher([]).encrypt(BODY)
    assert plain == EncryptedBody(BODY, None)
    assert BodyCipher([NEW]).decrypt(plain) == BODY


@pytest.mark.parametrize(
    "encrypted_body",
    [
        BodyCipher([OLD]).encrypt(BODY),
        EncryptedBody(b"damaged", key_id(NEW)),
        EncryptedBody(b"", key_id(NEW)),
        EncryptedBody(b"\x80damaged", key_id(NEW)),
    ],
)
def test_a_body_that_does_not_decrypt_is_transient(encrypted_body: EncryptedBody) -> None:
    with pytest.raises(Transient, match=r"encrypted with key|cannot be decrypted"):
        BodyCipher([NEW]).decrypt(encrypted_body)


def test_repr_shows_neither_keys_nor_bodies() -> None:
    assert "s3cr3t" not in repr(BodyCipher([]).encrypt(BODY))
    assert NEW not in repr(BodyCipher([NEW])) + key_id(NEW)
