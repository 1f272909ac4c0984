"""The hosts of the deliveries as platform users, so that each booking has an owner."""

from sqlalchemy import insert

from benchmarks.bodies import host_ids
from benchmarks.stores import Kind, Stores
from models.platform_user import PlatformUser
from runtime.database import Database


def add_hosts(database: Database) -> None:
    """Make all of them platform users, as they are once the scheduler has linked their bookings."""
    users = [
        {"external_id": host, "meetergo_user_id": host, "email": f"{host}@example.com", "linked_as": f"{host}/"}
        for host in host_ids()
    ]
    with database.transaction() as session:
        session.execute(insert(PlatformUser.__table__), users)


def database_with_hosts(stores: Stores, kind: Kind) -> str:
    """Return the URL of a new database that holds nothing but them."""
    url = stores.database(kind)
    database = Database(url)
    add_hosts(database)
    database.close()
    return url
