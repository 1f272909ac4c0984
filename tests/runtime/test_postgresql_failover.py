"""PostgreSQL fails over to a real standby: connections that read only are not kept."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy.exc import SQLAlchemyError

from models.migrate import migrate
from runtime.database import Database
from runtime.write_probe import probe_write
from tests.postgresql_pair import postgresql_pair


def test_of_several_hosts_the_one_that_can_be_written_is_taken() -> None:
    with TemporaryDirectory(prefix="pair-", ignore_cleanup_errors=True) as name, postgresql_pair(Path(name)) as pair:
        database = Database(pair.url_of_both(), pool_size=1)
        migrate(database.engine)
        probe_write(database)
        database.close()


@pytest.mark.parametrize("ends", ["promoted", "restored"])
def test_connections_to_the_standby_write_again_once_a_primary_has_the_address(ends: str) -> None:
    with TemporaryDirectory(prefix="pair-", ignore_cleanup_errors=True) as name, postgresql_pair(Path(name)) as pair:
        database = Database(pair.url, pool_size=2)
        migrate(database.engine)
        probe_write(database)
        pair.demote()
        for _ in range(3):
            with pytest.raises(SQLAlchemyError):
                probe_write(database)
        with database.read_only() as session:
            assert session.connection().exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()
        if ends == "promoted":
            pair.promote()
        else:
            pair.restore()
            with pytest.raises(SQLAlchemyError):
                probe_write(database)  # through the connection that only read meanwhile: it is discarded now
        probe_write(database)
        database.close()
