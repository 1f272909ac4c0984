"""The receiver's signed addresses: one per key, identified by fingerprints, never shown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from meetergo.api.errors import InvalidCall
from meetergo.api.resources.webhooks import check_endpoint
from operations.errors import OperationError
from operations.settings import RegistrationSettings
from runtime.signed_address import WEBHOOK_PATH, AddressSigner, host_of


@dataclass(frozen=True)
class Address:
    """An address that meetergo posts to.

    Attributes:
        url: the complete URL; a secret.
        fingerprint: identifies the address without revealing it.
    """

    url: str = field(repr=False)
    fingerprint: str


def our_addresses(settings: RegistrationSettings) -> Sequence[Address]:
    """Return the addresses of our keys, oldest to newest.

    Raises:
        OperationError: meetergo could not post to them.
    """
    signer = AddressSigner(settings.webhook_keys)
    paths = zip(signer.paths(settings.webhook_account), signer.fingerprints(settings.webhook_account), strict=True)
    found = [Address(settings.receiver_url + path, fingerprint) for path, fingerprint in paths]
    if not settings.public_url and not settings.uses_sandbox:
        raise OperationError("PUBLIC_URL is not set: meetergo needs an https address that it can reach")
    try:
        check_endpoint(found[-1].url, local=settings.uses_sandbox)
    except InvalidCall as error:
        raise OperationError(f"PUBLIC_URL cannot be used: {error}") from error
    return found


def redacted_url(endpoint: str) -> str:
    """Return one of our addresses without its secret part."""
    return f"{urlsplit(endpoint).scheme}://{host_of(endpoint)}{WEBHOOK_PATH}/***"
