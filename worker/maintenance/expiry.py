"""Expiry of the API key and of the certificate of the receiver's address."""

import socket
import ssl
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

from worker.maintenance.observation import ABSENT, LEVELS, Observation, level_of

TIMEOUT = timedelta(seconds=10)
SHARE = 4
"""A short-lived certificate is renewed shortly before it expires: only levels in its last quarter count."""


def observe_key(last_day: date, now: datetime) -> Observation:
    """Observe the API key. meetergo does not say when it expires, so the operator sets the date."""
    days = (last_day - now.date()).days
    level = level_of(days)
    return ABSENT if level is None else Observation(True, {"days": days, "level": level})


def observe_certificate(public_url: str, now: datetime, timeout: timedelta = TIMEOUT) -> Observation | None:
    """Open a TLS connection to the receiver as meetergo does, and observe its certificate.

    Args:
        public_url: the receiver's https address.
        now: the time, UTC.
        timeout: limit for connecting, and for each answer.

    Returns:
        None if no server answers, for example because this network cannot reach its own public address.
    """
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    try:
        with (
            socket.create_connection((host, parts.port or 443), timeout.total_seconds()) as connection,
            ssl.create_default_context().wrap_socket(connection, server_hostname=host) as tls,
        ):
            certificate = tls.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Observation(True, {"host": host, "reason": error.verify_message, "level": 0})
    except OSError:
        return None
    begins, ends = (_time(certificate, name) for name in ("notBefore", "notAfter"))
    days = (ends - now).days
    level = level_of(days, tuple(each for each in LEVELS if timedelta(days=each) <= (ends - begins) / SHARE))
    return ABSENT if level is None else Observation(True, {"host": host, "days": days, "level": level})


def _time(certificate: "ssl._PeerCertRetDictType", name: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate[name])), UTC)
