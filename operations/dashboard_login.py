"""Log in to the dashboard: one-time links, which the CLI prints, sessions, and roles."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Literal, get_args

from itsdangerous import BadData, URLSafeTimedSerializer
from redis import Redis

from operations.errors import OperationError
from runtime.redis.client import key_of

Role = Literal["read", "operate", "people"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Ascending: each role includes those before it. `read` sees masked data, `operate` replays and ignores, `people`
reveals and erases."""

LINK_LIFETIME = timedelta(minutes=10)
SESSION_LIFETIME = timedelta(hours=12)
LOGIN_PATH = "/login"
LINK_SALT = b"meetergo-inbox.dashboard.login"
SESSION_SALT = b"meetergo-inbox.dashboard.session"
"""Salts of the keys derived from WEBHOOK_KEYS: login link, session and webhook address are not interchangeable."""
MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class Operator:
    """A logged-in user of the dashboard.

    Attributes:
        name: recorded with each intervention.
        role: what the operator may do.
    """

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether the operator's role includes this one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class LoginSigner:
    """Signs and verifies login links and sessions.

    Args:
        keys: WEBHOOK_KEYS, oldest to newest; the newest signs, all verify.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._links, self._sessions = (
            URLSafeTimedSerializer(
                list(keys), salt=salt, signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
            )
            for salt in (LINK_SALT, SESSION_SALT)
        )

    def link(self, base_url: str, name: str, role: Role) -> str:
        """Return a one-time login link.

        Raises:
            OperationError: the name cannot be used.
        """
        name = name.strip()
        if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise OperationError(f"--name: a name of 1 to {MAX_NAME_LENGTH} printable characters, such as 'Ada'")
        token = self._links.dumps([name, role, secrets.token_urlsafe(16)])
        return f"{base_url.rstrip('/')}{LOGIN_PATH}?token={token}"

    def read_link(self, token: str) -> tuple[Operator, str] | None:
        """Verify a link's token and return its operator and id; None if it is forged or expired."""
        content = _load(self._links, token, LINK_LIFETIME)
        if not isinstance(content, list) or len(content) != 3:
            return None
        operator = _operator(content[:2])
        return (operator, str(content[2])) if operator else None

    def session(self, operator: Operator) -> str:
        """Return the signed value of a session cookie."""
        token = self._sessions.dumps([operator.name, operator.role])
        return token if isinstance(token, str) else token.decode()

    def read_session(self, cookie: str) -> Operator | None:
        """Verify a session cookie and return its operator; None if it is forged or expired."""
        return _operator(_load(self._sessions, cookie, SESSION_LIFETIME))


def use_link(redis: Redis, link_id: str) -> bool:
    """Record that a link was used.

    Returns:
        Whether this was the first use.

    Raises:
        RedisError: Redis does not answer, so it is unknown whether the link was used.
    """
    key = key_of(redis, "dashboard-login", sha256(link_id.encode()).hexdigest())
    return bool(redis.set(key, 1, nx=True, ex=LINK_LIFETIME * 2))


def _load(serializer: URLSafeTimedSerializer, token: str, lifetime: timedelta) -> Any:
    try:
        return serializer.loads(token, max_age=int(lifetime.total_seconds()))
    except BadData:
        return None


def _operator(content: Any) -> Operator | None:
    if not isinstance(content, list) or len(content) != 2 or content[1] not in ROLES:
        return None
    return Operator(str(content[0]), content[1])
