from datetime import UTC, datetime, timedelta

import pytest

from runtime.errors import Permanent, Transient
from worker.channels.status import TemporaryRefusal, classify_status

NOW = datetime(2026, 1, 10, 8, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(status):
    classify_status(status, None, NOW)


@pytest.mark.parametrize("status", [400, 402, 410, 413, 415, 422])
def test_a_refusal_is_final(status):
    with pytest.raises(Permanent, match=f"^the platform answered {status}$"):
        classify_status(status, None, NOW)


@pytest.mark.parametrize("status", [300, 301, 304, 308])
def test_a_permanent_redirect_is_final_and_says_why(status):
    with pytest.raises(Permanent, match=f"^the platform answered {status}: redirects are not followed$"):
        classify_status(status, None, NOW)


@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_temporary_redirect_is_retried_and_says_why(status):
    with pytest.raises(TemporaryRefusal, match=f"^the platform answered {status}: redirects are not followed$"):
        classify_status(status, None, NOW)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_a_transient_status_is_retried_after_the_requested_delay(status):
    with pytest.raises(Transient, match=f"^the platform answered {status}$") as failure:
        classify_status(status, "120", NOW)

    assert failure.value.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 421])
def test_a_status_that_occurs_during_a_deployment_is_retried(status):
    with pytest.raises(TemporaryRefusal, match=f"^the platform answered {status}$") as failure:
        classify_status(status, "30", NOW)

    assert failure.value.retry_after == timedelta(seconds=30)
