"""The hosts of whom deliveries tell, as users of the platform: so each booking belongs to somebody."""

from sqlalchemy import insert

from benchmarks.bodies import host_ids
from benchmarks.stores import Kind, Stores
from models.platform_user import PlatformUser
from runtime.database import Database


def add_hosts(database: Database) -> None:
    """Makes all of them platform users."""
    users = [{"external_id": host, "meetergo_user_id": host, "email": f"{host}@example.com"} for host in host_ids()]
    with database.transaction() as session:
        session.execute(insert(PlatformUser.__table__), users)


def database_with_hosts(stores: Stores, kind: Kind) -> str:
    """The URL of a new database that holds nothing but them."""
    url = stores.database(kind)
    database = Database(url)
    add_hosts(database)
    database.close()
    return url
