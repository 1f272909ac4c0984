"""Bodies at rest are encrypted, with several keys for rotation."""

from base64 import urlsafe_b64decode

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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
    token = Fernet(OLD).encrypt(BODY)
    for stored in (token, urlsafe_b64decode(token)):
        assert BodyCipher([OLD, NEW]).decrypt(EncryptedBody(stored, key_id(OLD))) == BODY


def test_release_0_1_0_can_read_a_body_encrypted_for_it() -> None:
    both = BodyCipher([OLD, NEW])
    for_it = both.encrypt_for_0_1_0(BODY)
    assert Fernet(NEW).decrypt(for_it.content) == BODY
    assert for_it.key == key_id(NEW)
    assert both.decrypt(for_it) == BODY


def test_the_key_of_the_body_is_not_that_of_the_setting() -> None:
    content = BodyCipher([OLD]).encrypt(BODY).content
    with pytest.raises(InvalidTag):
        AESGCM(urlsafe_b64decode(OLD)).decrypt(content[1:13], content[13:], None)


def test_the_same_body_is_encrypted_differently_each_time() -> None:
    cipher = BodyCipher([OLD])
    assert len({cipher.encrypt(BODY).content for _ in range(100)}) == 100


def test_a_changed_byte_is_noticed() -> None:
    cipher = BodyCipher([OLD])
    encrypted_body = cipher.encrypt(BODY)
    for place in range(len(encrypted_body.content)):
        content = bytearray(encrypted_body.content)
        content[place] ^= 1
        with pytest.raises(Transient, match="damaged"):
            cipher.decrypt(EncryptedBody(bytes(content), encrypted_body.key))


def test_encryption_adds_29_bytes() -> None:
    assert len(BodyCipher([OLD]).encrypt(bytes(1500)).content) == 1500 + 29


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
        EncryptedBody(b"\x81damaged", key_id(NEW)),
        EncryptedBody(b"\x81", key_id(NEW)),
    ],
)
def test_a_body_that_does_not_decrypt_is_transient(encrypted_body: EncryptedBody) -> None:
    with pytest.raises(Transient, match=r"encrypted with key|cannot be decrypted"):
        BodyCipher([NEW]).decrypt(encrypted_body)


def test_repr_shows_neither_keys_nor_bodies() -> None:
    assert "s3cr3t" not in repr(BodyCipher([]).encrypt(BODY))
    assert NEW not in repr(BodyCipher([NEW])) + key_id(NEW)
