"""The catalogue: every fault, where it occurs, and what is promised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from tests.faults import accounts, channels, failovers, feed, kills, many_connections, outages
from tests.faults.context import FaultContext
from tests.faults.redis_server import RedisKind

DatabaseName = Literal["SQLite", "PostgreSQL"]
ChannelName = Literal["post", "mail"]

SQLITE: tuple[DatabaseName, ...] = ("SQLite",)
POSTGRESQL: tuple[DatabaseName, ...] = ("PostgreSQL",)
BOTH = SQLITE + POSTGRESQL

KILLED_WORKER = timedelta(seconds=90)
LOST_TRIGGER = timedelta(seconds=60)
ELSEWHERE = timedelta(seconds=180)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        title: title in the table.
        inject: injects the fault while deliveries arrive; returns when it is over.
        databases: databases to test.
        channels: channels of the notifications.
        within: the promised time to recover.
        refuses: whether the receiver may answer 503.
        needs_disk: whether SQLite needs a disk of its own.
        has_standby: whether PostgreSQL has a standby, behind one address.
        redis: one server; two behind one address; or two that a Sentinel watches.
        own_prefix: whether the names in Redis come from the database, as by default.
        hook: PLATFORM_HOOK of the worker.
        has_account: whether there is a second account.
        has_provider: whether a sandbox stands in for meetergo, with a company for each account; cancels are confirmed.
        overrides: Procfile name -> another command.
    """

    title: str
    inject: Callable[[FaultContext], None]
    databases: tuple[DatabaseName, ...] = BOTH
    channels: tuple[ChannelName, ...] = ("post",)
    within: timedelta = ELSEWHERE
    refuses: bool = False
    needs_disk: bool = False
    has_standby: bool = False
    redis: RedisKind = "alone"
    own_prefix: bool = False
    hook: str = ""
    has_account: bool = False
    has_provider: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)


SLOWLY = "tests.faults.self_kill:slowly"
TWO_OF_EACH = {"worker": "python -m worker -n 2"}


def _worker_dies(place: str) -> dict[str, str]:
    return {"worker": f"python -m tests.faults.worker_main {place}"}


CATALOGUE: dict[str, Fault] = {
    "none": Fault("no fault, two workers for each queue", many_connections.nothing, overrides=TWO_OF_EACH),
    "worker": Fault("worker killed at random", kills.kill_workers, within=KILLED_WORKER, hook=SLOWLY),
    "pool": Fault(
        "worker of two times two processes killed with all of them",
        kills.kill_pool,
        within=KILLED_WORKER,
        hook=SLOWLY,
        overrides=TWO_OF_EACH,
    ),
    "changes-feed": Fault(
        "changes feed under concurrent writers that are killed: gaps 0, repeats 0",
        feed.follow_while_workers_die,
        within=KILLED_WORKER,
        hook=SLOWLY,
        overrides=TWO_OF_EACH,
    ),
    "before-commit": Fault(
        "worker killed before the commit",
        kills.die_at_the_place,
        within=KILLED_WORKER,
        hook="tests.faults.self_kill:in_the_transaction",
    ),
    "before-trigger": Fault(
        "worker killed after the commit, before the trigger",
        kills.die_at_the_place,
        within=LOST_TRIGGER,
        overrides=_worker_dies("committed"),
    ),
    "while-sending": Fault(
        "worker killed between the channel's acknowledgement and our commit",
        kills.die_at_the_place,
        channels=("post", "mail"),
        within=KILLED_WORKER,
        overrides=_worker_dies("sent"),
    ),
    "storing-deferred": Fault(
        "worker killed while it stores a deferred body",
        kills.die_while_storing_deferred,
        within=KILLED_WORKER,
        overrides=_worker_dies("storing-deferred"),
    ),
    "poison": Fault(
        "deliveries whose processing ends the worker, each time",
        kills.deliver_poison,
        within=KILLED_WORKER,
        hook="tests.faults.self_kill:of_some_bookings",
    ),
    "large-batch": Fault("220 pending bodies of 95 KB of one webinar", many_connections.large_batch),
    "cron": Fault("cron killed, and the triggers lost", kills.kill_cron, SQLITE, within=LOST_TRIGGER),
    "receiver": Fault("receiver's server process killed under load", kills.kill_receiver),
    "receiver-main": Fault("receiver's main process killed under load", kills.kill_receiver_main, POSTGRESQL),
    "redis-killed": Fault("Redis killed and restarted", outages.kill_redis),
    "redis-emptied": Fault("Redis emptied (FLUSHALL), triggers lost", outages.empty_redis, within=LOST_TRIGGER),
    "redis-full": Fault("Redis out of memory (noeviction)", outages.fill_redis),
    "redis-silent": Fault("Redis accepts and never answers", outages.freeze_redis),
    "postgresql-away": Fault("PostgreSQL crashed and started", outages.database_leaves, POSTGRESQL),
    "redis-failover": Fault("Redis fails over behind one address", failovers.redis_fails_over, SQLITE, redis="pair"),
    "redis-sentinel": Fault(
        "Redis master killed, Sentinel promotes its replica",
        failovers.redis_dies_under_sentinel,
        POSTGRESQL,
        redis="sentinel",
    ),
    "read-only": Fault("PostgreSQL read-only for a while", failovers.database_is_read_only, POSTGRESQL),
    "postgresql-failover": Fault(
        "PostgreSQL fails over to its standby", failovers.postgresql_fails_over, POSTGRESQL, has_standby=True
    ),
    "two-installations": Fault(
        "SQLite locked, and another installation works on the same Redis",
        failovers.another_installation,
        SQLITE,
        own_prefix=True,
    ),
    "postgresql-silent": Fault("PostgreSQL accepts and never answers", outages.freeze_postgresql, POSTGRESQL),
    "sqlite-locked": Fault("SQLite locked by another process", outages.database_leaves, SQLITE),
    "disk-full": Fault("disk of SQLite full", outages.fill_disk, SQLITE, needs_disk=True),
    "both-away": Fault("both stores down", outages.both_leave, refuses=True),
    "post-fails": Fault("platform answers 500", channels.channel_is("fails"), POSTGRESQL),
    "post-hangs": Fault("platform accepts and never answers", channels.channel_is("hangs"), SQLITE),
    "post-drips": Fault("platform drips its response, byte by byte", channels.channel_is("drips"), SQLITE),
    "post-later": Fault("platform answers 429 with Retry-After", channels.channel_is("says later"), POSTGRESQL),
    "post-hangs-up": Fault("platform takes the message and hangs up", channels.channel_is("hangs up"), SQLITE),
    "mail-fails": Fault("mail server answers 451", channels.channel_is("fails"), SQLITE, ("mail",)),
    "mail-hangs": Fault("mail server never answers", channels.channel_is("hangs"), POSTGRESQL, ("mail",)),
    "mail-drips": Fault("mail server drips its reply, byte by byte", channels.channel_is("drips"), SQLITE, ("mail",)),
    "one-hangs": Fault(
        "platform never answers; mails beside it leave within 10 s",
        channels.one_hangs_beside,
        channels=("post", "mail"),
    ),
    "stop-while-hanging": Fault(
        "worker asked to stop while the platform never answers", channels.stop_while_it_hangs, SQLITE
    ),
    "poison-notification": Fault(
        "notifications that end the worker that sends them, each time",
        channels.deliver_poison_notification,
        within=KILLED_WORKER,
        overrides=_worker_dies("poison-notification"),
    ),
    "mail-hangs-up": Fault(
        "mail server takes the mail and hangs up",
        channels.channel_is("hangs up"),
        POSTGRESQL,
        ("mail",),
    ),
    "account-floods": Fault(
        "one account floods: 10,000 of its deliveries wait; another's are delayed by less than 10 s",
        accounts.flood_of_one_account,
        has_account=True,
    ),
    "account-key-expired": Fault(
        "one account's key expired: its cancels wait for a new one, an alarm names it, another's go on",
        accounts.key_of_one_account_expires,
        has_account=True,
        has_provider=True,
    ),
    "flood": Fault("200 connections for 30 s", many_connections.flood),
    "slow-bodies": Fault("100 connections that send half a body", many_connections.slow_clients("halves", 100)),
    "idle-strangers": Fault("1,500 connections that say nothing", many_connections.slow_clients("idle", 1_500), SQLITE),
    "dripping": Fault("500 clients that drip", many_connections.slow_clients("dripping", 500)),
    "readyz-crowd": Fault(
        "600 clients poll /readyz while PostgreSQL is silent",
        many_connections.ask_beside_a_silent_database,
        POSTGRESQL,
    ),
}
