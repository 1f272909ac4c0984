"""What was signed: decide independently of the verifier whether it may accept.

Nobody who fuzzes knows the secret while mutating, so a yes is right only for the very content that was signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SECRET = "c2VjcmV0" * 4
SCHEMES = ("standard", "timestamped", "hex", "base64")
TOLERANCE = timedelta(minutes=5)

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Signed:
    """One valid message.

    Attributes:
        scheme: which signature it carries.
        headers: with the signature in them.
        body: what was signed.
        at: when, in whole seconds.
    """

    scheme: str
    headers: Headers
    body: bytes = field(repr=False)
    at: datetime

    def allows(self, headers: Headers, body: bytes, now: datetime) -> bool:
        """Whether a verifier may accept this because of what was signed."""
        if body != self.body:
            return False
        if self.scheme in ("hex", "base64"):
            return True
        if abs(now - self.at) > TOLERANCE:
            return False
        if self.scheme == "timestamped":
            return f"t={int(self.at.timestamp())}" in headers.get("webhook-signature", "")
        return all(headers.get(name) == self.headers[name] for name in ("webhook-id", "webhook-timestamp"))
