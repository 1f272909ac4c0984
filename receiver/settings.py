"""Settings of the receiver: the stores, the keys of the address, and the signature if there is one."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from meetergo.signatures import MalformedSecret, Verifier
from models.settings import AddressSettings, CommaSeparated, MetricsSettings, StoreSettings, VaultSettings

DEFAULT_MAX_BODY = 256 * 1024
DEFAULT_THREADS = 64


class SignedAddressSettings(AddressSettings):
    """How a delivery proves where it comes from. Times in seconds."""

    webhook_signature_scheme: Literal["", "standard", "timestamped", "hex", "base64"] = ""
    webhook_signature_secrets: CommaSeparated = Field([], repr=False)
    webhook_signature_header: str = ""
    webhook_signature_tolerance: int = Field(300, ge=0)
    webhook_address_optional: bool = False

    def verifier(self) -> Verifier | None:
        """What verifies the signature header; None if none is asked for."""
        if not self.webhook_signature_scheme:
            return None
        return Verifier(
            self.webhook_signature_scheme,
            self.webhook_signature_secrets,
            self.webhook_signature_header,
            timedelta(seconds=self.webhook_signature_tolerance),
        )

    @model_validator(mode="after")
    def _secrets_fit_the_scheme(self) -> Self:
        if self.webhook_signature_scheme and not self.webhook_signature_secrets:
            raise ValueError("WEBHOOK_SIGNATURE_SECRETS is not set, and WEBHOOK_SIGNATURE_SCHEME asks for it")
        if self.webhook_address_optional and not self.webhook_signature_scheme:
            raise ValueError(
                "WEBHOOK_ADDRESS_OPTIONAL cannot be used without WEBHOOK_SIGNATURE_SCHEME: nothing would tell who sends"
            )
        try:
            self.verifier()
        except MalformedSecret as error:
            raise ValueError(f"WEBHOOK_SIGNATURE_SECRETS cannot be used: {error}") from None
        return self


class ReceiverSettings(StoreSettings, SignedAddressSettings, VaultSettings, MetricsSettings):
    """What the receiver reads. Sizes in bytes."""

    webhook_max_body: int = Field(DEFAULT_MAX_BODY, ge=1)
    host: str = "0.0.0.0"  # noqa: S104 - a container or a platform's router has to reach it
    port: int = Field(8000, ge=0, le=65535)
    web_processes: int = Field(1, ge=1)
    web_threads: int = Field(DEFAULT_THREADS, ge=1)
