"""Failovers: stores that answer, and cannot write for a while; and a second installation on the same Redis."""

from sqlalchemy import create_engine, make_url, text

from models.delivery import Delivery
from models.migrate import migrate
from runtime.database import Database
from tests.faults.databases import Cluster, Postgresql, ReplicatedPostgresql, Sqlite
from tests.faults.house import House, living
from tests.faults.outages import LONG
from tests.faults.scene import Scene

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"


def database_is_read_only(scene: Scene) -> None:
    """All sessions of PostgreSQL from now on, and the old ones end; then it can be written again."""
    assert isinstance(scene.store, Postgresql)
    scene.pause(1, 3)
    _set_read_only(scene.store.cluster, scene.store.url, "SET default_transaction_read_only = on")
    scene.pause(*LONG)
    _set_read_only(scene.store.cluster, scene.store.url, "RESET default_transaction_read_only", cut=False)


def postgresql_fails_over(scene: Scene) -> None:
    """The address leads to a standby, which reads; some seconds later it is promoted."""
    assert isinstance(scene.store, ReplicatedPostgresql)
    scene.pause(1, 3)
    scene.store.pair.demote()
    scene.pause(*LONG)
    scene.store.pair.promote()


def redis_fails_over(scene: Scene) -> None:
    """The replica is made the master behind the same address; open connections stay with the demoted server."""
    scene.pause(1, 3)
    scene.redis.fail_over()
    scene.pause(*LONG)


def redis_dies_under_sentinel(scene: Scene) -> None:
    """The master is killed; Sentinel makes the replica the master."""
    scene.pause(1, 3)
    scene.redis.kill()
    scene.until(scene.redis.has_master, "Sentinel made nobody the master")
    scene.pause(*LONG)


def another_installation(scene: Scene) -> None:
    """Worker and cron of another database work on the same Redis while bodies wait there for ours."""
    assert isinstance(scene.store, Sqlite)
    folder = scene.armed.parent / "other"
    folder.mkdir()
    url = f"sqlite:///{folder / 'inbox.db'}"
    other = Database(url)
    migrate(other.engine)
    env = {**scene.house.env, "DATABASE_URL": url}
    with living(env, folder, {}, names=("worker", "cron")) as house:
        scene.until(lambda: _works(scene, house), "the other worker did not start")
        scene.store.leave()
        scene.pause(*LONG)
        scene.store.return_()
        scene.load.finish()
        scene.pause(1, 2)
    with other.reading() as session:
        if session.query(Delivery).count():
            scene.notes.append("the other installation took deliveries")
    other.close()


def _works(scene: Scene, house: House) -> bool:
    return len(scene.redis.workers()) >= 4 and house.main("worker") > 0


def _set_read_only(cluster: Cluster, url: str, change: str, *, cut: bool = True) -> None:
    name = make_url(url).database
    engine = create_engine(cluster.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} {change}"))
        if cut:
            connection.execute(text(CUT), {"name": name})
    engine.dispose()
