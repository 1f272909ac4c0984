"""Access control, closed by default: who is logged in, the role that each route requires, and CSRF protection."""

from collections.abc import Callable
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from werkzeug.exceptions import BadHost

from dashboard.page_size import fit
from dashboard.stores import current
from operations.dashboard_login import MAX_NAME_LENGTH, ROLES, Operator, Role

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

SESSION_COOKIE = "inbox_session"
OPEN_ENDPOINTS = frozenset({"static", "login.use", "login.logout", "preferences.save", "health.health"})
"""Routes that need no login. They reveal nothing about the installation."""
MAX_FAILED_LOGINS = 10
"""Limit of failed logins per address and minute; further ones get 429."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})

View = TypeVar("View", bound=Callable[..., Any])


class ScreenBlueprint(Blueprint):
    """The routes of one screen, each with the role that it requires.

    Args:
        name: prefix of the endpoints.
        title: its name in the navigation, marked with `N_`; None if it is not listed there.
        home: endpoint that the navigation links to.
        role: the role that sees it in the navigation.
    """

    def __init__(self, name: str, title: str | None = None, home: str = "list_all", role: Role = "read") -> None:
        super().__init__(name, f"dashboard.screens.{name}")
        self.title, self.home, self.role = title, f"{name}.{home}", role

    def page(self, rule: str, role: Role = "read") -> Callable[[View], View]:
        """Register a page: a GET without side effects. It shows fewer rows if it would be too large."""

        def register(view: View) -> View:
            self._route(rule, "GET", role)(fit(view))
            return view

        return register

    def act(self, rule: str, role: Role) -> Callable[[View], View]:
        """Register an act: a POST."""
        return self._route(rule, "POST", role)

    def _route(self, rule: str, method: str, role: Role) -> Callable[[View], View]:
        def register(view: View) -> View:
            self.add_url_rule(rule, view.__name__, view, methods=[method], provide_automatic_options=False)
            key = (f"{self.name}.{view.__name__}", method)
            self.record_once(lambda state: _roles(cast("Flask", state.app)).update({key: role}))
            return view

        return register


def _roles(app: Flask) -> dict[tuple[str, str], Role]:
    return cast("dict[tuple[str, str], Role]", app.extensions.setdefault("dashboard-roles", {}))


def required_role(app: Flask, endpoint: str, method: str) -> Role | None:
    """Return the role that a route requires; None if it needs no login."""
    if endpoint in OPEN_ENDPOINTS:
        return None
    return _roles(app).get((endpoint, "GET" if method == "HEAD" else method), ROLES[-1])


def check_access() -> None:
    """Reject a request from another site, without a login, or with an insufficient role. Runs before each request."""
    if isinstance(request.routing_exception, BadHost):  # without a host, no page can be rendered
        abort(Response("The Host header is not the name of a host.\n", 400, content_type="text/plain"))
    if request.method not in READING and not _is_same_site():
        abort(403, "another site sent this form")
    g.operator = _operator_of_proxy() or _operator_of_cookie()
    endpoint = request.endpoint
    role = required_role(current_app, endpoint, request.method) if endpoint else ROLES[0]
    if role is None:
        return
    if g.operator is None:
        abort(401)
    if not g.operator.may(role):
        abort(403, f"role:{role}")


def operator() -> Operator:
    """Return the operator who is logged in; abort with 401 if nobody is."""
    found = visitor()
    if found is None:
        abort(401)
    return found


def visitor() -> Operator | None:
    """Return the operator who is logged in; None if nobody is."""
    return cast("Operator | None", g.get("operator"))


def remote_address() -> str:
    """Return the peer's IP address."""
    return (request.remote_addr or "").strip("[]")


def is_https() -> bool:
    """Whether the browser uses HTTPS, to us or to a proxy."""
    return request.is_secure or current().settings.dashboard_base_url.startswith("https://")


class LoginLimit:
    """Limits failed logins per address, in this process."""

    def is_exceeded(self) -> bool:
        """Whether this peer has failed too often lately."""
        return not self._limiter.test(self._limit, remote_address())

    def record_failure(self) -> None:
        """Count a failed login of this peer."""
        self._limiter.hit(self._limit, remote_address())

    @cached_property
    def _limiter(self) -> "FixedWindowRateLimiter":
        from limits.storage import MemoryStorage  # late: memory that a process needs only where somebody logs in
        from limits.strategies import FixedWindowRateLimiter

        return FixedWindowRateLimiter(MemoryStorage())

    @cached_property
    def _limit(self) -> "RateLimitItem":
        from limits import RateLimitItemPerMinute

        return RateLimitItemPerMinute(MAX_FAILED_LOGINS)


def _is_same_site() -> bool:
    """Whether this site sent the form. A client that sends neither header is not a browser, so it holds no cookie."""
    fetch_site = request.headers.get("Sec-Fetch-Site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    ours = {request.host_url.rstrip("/"), current().settings.dashboard_base_url}
    try:
        return _origin(origin) in {_origin(url) for url in ours}
    except ValueError:  # such as http://[
        return False


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _operator_of_cookie() -> Operator | None:
    cookie = request.cookies.get(SESSION_COOKIE)
    return current().logins.read_session(cookie) if cookie else None


def _operator_of_proxy() -> Operator | None:
    """Return the operator whom a trusted proxy names. The header is ignored from any other peer."""
    settings = current().settings
    if not settings.dashboard_proxies:
        return None
    name = request.headers.get(settings.dashboard_user_header, "").strip()[:MAX_NAME_LENGTH]
    if not name or not name.isprintable() or not _is_trusted_proxy():
        return None
    role = request.headers.get(settings.dashboard_role_header, "").strip() or ROLES[0]
    return Operator(name, role) if role in ROLES else None


def _is_trusted_proxy() -> bool:
    try:
        address = ip_address(remote_address())
    except ValueError:
        return False
    return any(address in network for network in current().settings.trusted_networks)
