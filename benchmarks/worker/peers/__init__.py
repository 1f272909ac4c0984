"""Other job systems: each has one job per delivery, which calls the same `process_one`.

SAQ and arq need an older redis-py, which lacks a module and options of our own client. A job of theirs opens no
connection of ours, so a client without them does.
"""

import sys
from importlib.util import find_spec
from types import ModuleType

if find_spec("redis.maint_notifications") is None:
    missing = ModuleType("redis.maint_notifications")
    missing.MaintNotificationsConfig = lambda **_options: None  # type: ignore[attr-defined] # that is what is missing
    sys.modules[missing.__name__] = missing
    from redis import ConnectionPool

    from runtime.redis import client

    client._pool = ConnectionPool.from_url
