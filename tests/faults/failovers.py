"""Failovers: stores that answer but cannot write for a while; and a second installation on the same Redis."""

from sqlalchemy import create_engine, make_url, text

from models.delivery import Delivery
from models.migrate import migrate
from runtime.database import Database
from tests.faults.context import FaultContext
from tests.faults.databases import Cluster, Postgresql, ReplicatedPostgresql, Sqlite
from tests.faults.outages import LONG
from tests.faults.supervisor import ProcessSupervisor, supervised

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"


def database_is_read_only(context: FaultContext) -> None:
    """Make all PostgreSQL sessions read-only and drop the old ones; then make them writable again."""
    assert isinstance(context.store, Postgresql)
    context.pause(1, 3)
    _set_read_only(context.store.cluster, context.store.url, "SET default_transaction_read_only = on")
    context.pause(*LONG)
    _set_read_only(context.store.cluster, context.store.url, "RESET default_transaction_read_only", cut=False)


def postgresql_fails_over(context: FaultContext) -> None:
    """Move the address to a standby, which only reads; promote it some seconds later."""
    assert isinstance(context.store, ReplicatedPostgresql)
    context.pause(1, 3)
    context.store.pair.demote()
    context.pause(*LONG)
    context.store.pair.promote()


def redis_fails_over(context: FaultContext) -> None:
    """Promote the replica behind the same address; open connections stay with the demoted server."""
    context.pause(1, 3)
    context.redis.fail_over()
    context.pause(*LONG)


def redis_dies_under_sentinel(context: FaultContext) -> None:
    """Kill the master; Sentinel promotes the replica."""
    context.pause(1, 3)
    context.redis.kill()
    context.until(context.redis.has_master, "Sentinel made nobody the master")
    context.pause(*LONG)


def another_installation(context: FaultContext) -> None:
    """Run worker and cron of another database on the same Redis while our bodies wait there."""
    assert isinstance(context.store, Sqlite)
    folder = context.armed.parent / "other"
    folder.mkdir()
    url = f"sqlite:///{folder / 'inbox.db'}"
    other = Database(url)
    migrate(other.engine)
    env = {**context.supervisor.env, "DATABASE_URL": url}
    with supervised(env, folder, {}, names=("worker", "cron")) as supervisor:
        context.until(lambda: _works(context, supervisor), "the other worker did not start")
        context.store.leave()
        context.pause(*LONG)
        context.store.return_()
        context.load.finish()
        context.pause(1, 2)
    with other.read_only() as session:
        if session.query(Delivery).count():
            context.notes.append("the other installation took deliveries")
    other.close()


def _works(context: FaultContext, supervisor: ProcessSupervisor) -> bool:
    return len(context.redis.workers()) >= 4 and supervisor.main("worker") > 0


def _set_read_only(cluster: Cluster, url: str, change: str, *, cut: bool = True) -> None:
    name = make_url(url).database
    engine = create_engine(cluster.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} {change}"))
        if cut:
            connection.execute(text(CUT), {"name": name})
    engine.dispose()
