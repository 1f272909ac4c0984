from datetime import UTC, datetime, timedelta

import pytest

from runtime.errors import Permanent, Transient
from worker.channels.status import TemporaryRefusal, classify_status

NOW = datetime(2026, 1, 10, 8, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(status):
    classify_status(status, None, NOW)


def test_only_gone_is_final():
    with pytest.raises(Permanent, match=r"^the platform answered 410$"):
        classify_status(410, None, NOW)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_retried_and_says_why(status):
    with pytest.raises(TemporaryRefusal, match=f"^the platform answered {status}: redirects are not followed$"):
        classify_status(status, None, NOW)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_a_transient_status_is_retried_after_the_requested_delay(status):
    with pytest.raises(Transient, match=f"^the platform answered {status}$") as failure:
        classify_status(status, "120", NOW)

    assert failure.value.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 407, 413, 415, 418, 421, 422, 423, 451, 499])
def test_any_other_refusal_is_retried(status):
    with pytest.raises(TemporaryRefusal, match=f"^the platform answered {status}$") as failure:
        classify_status(status, "30", NOW)

    assert failure.value.retry_after == timedelta(seconds=30)
