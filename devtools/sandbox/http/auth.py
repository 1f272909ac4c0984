"""Credentials of both kinds, with their opposite rules for the header that names the acting user.

Source: the authentication and personal-access-tokens pages.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from devtools.sandbox.http.errors import ApiRejection, forbidden
from devtools.sandbox.state.company import Company

USER_HEADER = "x-meetergo-api-user-id"
MAX_KEY_AGE = timedelta(days=90)

ROUTES_WITHOUT_USER = frozenset(
    {"POST /v4/user", "GET /v4/user/me", "GET /v4/booking-availability", "POST /v4/booking"},
)
"""Routes where a platform key may omit the header and acts as the company's owner."""

CAPABILITIES = {
    "users": "account",
    "webhooks": "account",
    "personal_pages": "account",
    "availabilities": "scheduling",
    "meeting_types": "scheduling",
    "bookings": "scheduling",
    "appointments": "scheduling",
    "templates": "scheduling",
}
"""Part of the API -> the capability that a restricted token needs."""


@dataclass(frozen=True)
class SandboxCredential:
    """A platform key or a personal token.

    Attributes:
        company: the company that it belongs to.
        owner_id: user whom a token acts as, and a key without a named user.
        capabilities: capabilities of a restricted token; None for all.
    """

    kind: Literal["platform", "personal"]
    company: Company
    owner_id: str
    expires_at: datetime | None = None
    capabilities: frozenset[str] | None = None


class Credentials:
    """All issued credentials, of all companies."""

    def __init__(self) -> None:
        self._credentials: dict[str, SandboxCredential] = {}

    def new_key(self, company: Company) -> str:
        """Issue a platform API key with the maximum lifetime."""
        digest = self._derive(company, "key")
        key = f"ak_live:{uuid5(NAMESPACE_URL, digest)}:{digest[:40]}"
        self._credentials[key] = SandboxCredential("platform", company, company.admin_id, company.now() + MAX_KEY_AGE)
        return key

    def new_token(self, company: Company, user_id: str, capabilities: frozenset[str] | None = None) -> str:
        """Issue a personal access token."""
        token = f"rgo-{self._derive(company, 'token')[:32]}"
        self._credentials[token] = SandboxCredential("personal", company, user_id, None, capabilities)
        return token

    def expire(self, secret: str) -> None:
        """Expire a credential now."""
        credential = self._credentials[secret]
        self._credentials[secret] = replace(credential, expires_at=credential.company.now())

    def authenticate(self, authorization: str) -> SandboxCredential:
        """Return the credential of a request.

        Raises:
            ApiRejection: 401 for a missing, unknown or expired credential.
        """
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise ApiRejection(401, "Missing authorization header")
        credential = self._credentials.get(secret.strip())
        if not credential:
            raise ApiRejection(401, "Invalid API key")
        if credential.expires_at and credential.expires_at <= credential.company.now():
            raise expired()
        return credential

    def _derive(self, company: Company, kind: str) -> str:
        """Derive the secret part of a credential from the seed, so that a .env file stays valid after a restart."""
        return sha256(f"meetergo-sandbox/{company.seed}/{kind}/{len(self._credentials)}".encode()).hexdigest()


def expired() -> ApiRejection:
    """Build the response for an expired credential."""
    return ApiRejection(401, "API key has expired")


def acting_user(credential: SandboxCredential, named: str | None, route: str, blueprint: str) -> str:
    """Return the id of the user as whom a request acts.

    Args:
        credential: the request's credential.
        named: the user named by the request's header.
        route: such as `GET /v4/user/me`.
        blueprint: of the API, such as `users`.

    Raises:
        ApiRejection: 403 for a token that names a user or lacks the capability, 400 for a key that names none.
    """
    if credential.kind == "personal":
        if named is not None or (blueprint == "users" and not route.startswith("GET ")):
            raise forbidden()
        if credential.capabilities is not None and CAPABILITIES[blueprint] not in credential.capabilities:
            raise forbidden()
        return credential.owner_id
    if not named and route not in ROUTES_WITHOUT_USER:
        raise ApiRejection(400, f"Missing required header '{USER_HEADER}' for API key authentication")
    if named and named not in credential.company.users:
        raise forbidden()
    return named or credential.owner_id
