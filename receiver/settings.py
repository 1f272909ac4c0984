"""Settings of the receiver: the stores, the keys of the signed address, and the optional header signature."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from runtime.settings import (
    MAX_SECONDS,
    AddressSettings,
    CommaSeparated,
    EncryptionSettings,
    ListenHost,
    MetricsSettings,
    StoreSettings,
)
from runtime.signatures import DEFAULT_TOLERANCE, MalformedSecret, Verifier

DEFAULT_MAX_BODY = 256 * 1024
MAX_BODY = 64 * 1024 * 1024
DEFAULT_THREADS = 64
MAX_PROCESSES = 256
MAX_THREADS = 1024
EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened on
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _header(name: str) -> str:
    if name and not HEADER.fullmatch(name):
        raise ValueError("it is not a valid name of an HTTP header")
    return name


class SignedAddressSettings(AddressSettings):
    """Settings that authenticate deliveries: signed address and header signature. Times in seconds."""

    webhook_signature_scheme: Literal["", "standard", "timestamped", "hex", "base64"] = ""
    webhook_signature_secrets: CommaSeparated = Field([], repr=False)
    webhook_signature_header: Annotated[str, AfterValidator(_header)] = ""
    webhook_signature_tolerance: int = Field(int(DEFAULT_TOLERANCE.total_seconds()), ge=0, le=MAX_SECONDS)
    webhook_address_optional: bool = False

    def verifier(self) -> Verifier | None:
        """Build the verifier of the signature header; None if none is configured."""
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


class ReceiverSettings(StoreSettings, SignedAddressSettings, EncryptionSettings, MetricsSettings):
    """All settings of the receiver. Sizes in bytes."""

    webhook_max_body: int = Field(DEFAULT_MAX_BODY, ge=1, le=MAX_BODY)
    host: ListenHost = "0.0.0.0"  # noqa: S104 - a container or a platform's router has to reach it
    port: int = Field(8000, ge=0, le=65535)
    web_processes: int = Field(1, ge=1, le=MAX_PROCESSES)
    web_threads: int = Field(DEFAULT_THREADS, ge=1, le=MAX_THREADS)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        hosts = {self.host, self.metrics_host}
        if self.port == self.metrics_port and (len(hosts) == 1 or hosts & EVERY_ADDRESS):
            raise ValueError("METRICS_PORT cannot be used: PORT is the same")
        return self
