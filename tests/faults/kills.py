"""Kills: processes that end by SIGKILL, at any instant or at a chosen place."""

import signal
from collections.abc import Callable

from rq.scheduler import SCHEDULER_KEY_TEMPLATE

from models.delivery import delivery_id
from tests.faults.death import POISON
from tests.faults.outages import SHORT, lose_the_bells
from tests.faults.scene import Scene
from tests.faults.stories import one_more

SENDERS_OF_A_CREW = 2
DEADLY = 2
"""Deliveries that end each worker that handles them."""
SCHEDULERS = SCHEDULER_KEY_TEMPLATE % "*"


def kill_workers(scene: Scene) -> None:
    """Any process of the crew, at any instant."""
    for _ in range(6):
        scene.pause(0.5, 2.0)
        living = scene.house.children("worker")
        if living:
            scene.deaths += 1
            scene.kill(scene.random.choice(living))


def kill_crew(scene: Scene) -> None:
    """The whole worker, with all its processes."""
    for _ in range(3):
        scene.pause(1, 3)
        scene.deaths += SENDERS_OF_A_CREW
        scene.house.signal("worker", signal.SIGKILL)


def die_at_the_place(scene: Scene) -> None:
    """Sometimes under load, and once with the last delivery, after which nothing rings again."""
    for _ in range(4):
        scene.pause(0.5, 2.0)
        scene.arm()
        scene.until_dead()
    scene.load.finish()
    scene.pause(2, 3)
    scene.arm()
    scene.tell_one_more()
    scene.until_dead()


def deliver_poison(scene: Scene) -> None:
    """Under load, and two at once: deliveries that end each worker that handles them."""
    for number in range(DEADLY):
        scene.pause(0.5, 1.5)
        (body,) = one_more(f"{POISON}-{number}").bodies
        scene.ledger.deadly.add(delivery_id(body))
        scene.load.post(body)


def die_while_carrying(scene: Scene) -> None:
    """The database is away, and who would bring it a body dies: under load, and once with a single body."""
    scene.pause(1, 2)
    _die_with_the_database_away(scene)
    scene.load.finish()
    _die_with_the_database_away(scene, meanwhile=scene.tell_one_more)


def _die_with_the_database_away(scene: Scene, meanwhile: Callable[[], None] = lambda: None) -> None:
    scene.store.leave()
    scene.arm()
    meanwhile()
    scene.until_dead()
    scene.pause(*SHORT)
    scene.store.return_()


def kill_scheduler(scene: Scene) -> None:
    """While it keeps the time of rows that wait for their next try."""
    scene.platform.be("fails")
    for _ in range(4):
        scene.pause(1, 2)
        pids = [scene.redis.client.hget(key, "pid") for key in scene.redis.client.scan_iter(SCHEDULERS)]
        if not any(pids):
            scene.notes.append("there was no scheduler to kill")
        for pid in filter(None, pids):
            scene.kill(int(pid))
    scene.platform.be("well")


def kill_cron(scene: Scene) -> None:
    """While it is needed: the bells are lost, too."""
    for _ in range(3):
        scene.pause(1, 3)
        scene.kill(scene.house.main("cron"))
    lose_the_bells(scene)


def kill_receiver(scene: Scene) -> None:
    """The process that answers; its main process starts another."""
    for _ in range(4):
        scene.pause(1, 2)
        for pid in scene.house.children("web"):
            scene.kill(pid)


def kill_receiver_main(scene: Scene) -> None:
    """The main process, and what the supervisor sweeps up after it."""
    for _ in range(3):
        scene.pause(1, 3)
        scene.kill(scene.house.main("web"))
