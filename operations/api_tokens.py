"""Tokens of the read API: create, list and revoke them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.account import DEFAULT
from models.api_token import ApiToken, TokenRole
from models.intervention import Intervention
from operations.errors import OperationError

MAX_NAME_LENGTH = 100


def create_token(session: Session, name: str, role: TokenRole, by: str, now: datetime, account: str | None) -> str:
    """Create a token for one account or for all, and record who did it.

    Returns:
        The token. It is not stored, so it can be shown only now.

    Raises:
        OperationError: the name is empty, too long or in use, or there is no such account.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise OperationError(f"a token needs a name of at most {MAX_NAME_LENGTH} characters: who uses it")
    if _valid(session, name):
        raise OperationError(f"there is a token '{name}' already: revoke it, or choose another name")
    if account:
        from operations.accounts import check_account  # late: a list of tokens needs no settings of workers

        check_account(session, account)
    scope = f", account {account}" if account else ""
    reason = f"token '{name}' of the read API, role {role}{scope}"
    Intervention.record_act(session, "granted", now, by=by, reason=reason, account=account or DEFAULT)
    return ApiToken.create(session, name, role, by, now, account)


def all_tokens(session: Session) -> Sequence[ApiToken]:
    """Return all tokens, oldest first, including revoked ones."""
    return session.scalars(select(ApiToken).order_by(ApiToken.id)).all()


def revoke_token(session: Session, name: str, by: str, now: datetime) -> ApiToken:
    """Revoke a token: its next request is rejected.

    Raises:
        OperationError: there is no valid token of this name.
    """
    token = _valid(session, name.strip())
    if token is None:
        raise OperationError(f"there is no valid token '{name.strip()}': `api-tokens list` shows all")
    token.revoked_at = now
    reason = f"token '{token.name}' of the read API"
    Intervention.record_act(session, "revoked", now, by=by, reason=reason, account=token.account or DEFAULT)
    return token


def _valid(session: Session, name: str) -> ApiToken | None:
    query = select(ApiToken).where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
    return session.scalars(query.with_for_update()).first()
