"""Why a command cannot act for a host is a sentence."""

import pytest

from models.platform_user import PlatformUser
from operations import hosts
from operations.errors import OperationError
from tests.console.cli import ON_SQLITE
from tests.worker.harness import Harness


@ON_SQLITE
def test_a_host_is_found_in_its_own_account_alone(harness: Harness) -> None:
    harness.add_account("acme")
    harness.add_user(external_id="4711", account="acme")
    database = harness.services.database
    assert hosts.find(database, "4711").account == hosts.find(database, "4711", "acme").account == "acme"
    with pytest.raises(OperationError, match="belongs to the account acme: add --account acme"):
        hosts.find(database, "4711", "default")


def test_what_a_host_lacks_is_named() -> None:
    host = PlatformUser(external_id="4711", timezone="Mars/Olympus")
    with pytest.raises(OperationError, match="'4711' is not a user of meetergo yet"):
        hosts.meetergo_id(host)
    with pytest.raises(OperationError, match="the timezone of '4711' does not exist"):
        hosts.zone(host)
    with pytest.raises(OperationError, match="name one with --meeting-type"):
        hosts.meeting_type_id(host, None)
