"""Promises are kept, missed or not measured, by their figures; a peer that is missing costs nothing but its own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import report, running
from benchmarks.journey import report as journey
from benchmarks.network import report as network
from benchmarks.network.measurement import COUNTERS, PLACES
from benchmarks.promises import Promise
from benchmarks.receiver import targets
from benchmarks.receiver.measurement import SLOW
from benchmarks.receiver.setups import FASTIFY, SETUPS, SIGNED, ours
from benchmarks.receiver.targets import HALF, MOST, P50, P99, RATE
from benchmarks.rounds import Figure, Rounds
from benchmarks.stores import KINDS
from benchmarks.worker import report as worker
from benchmarks.worker.setups import BULLMQ, HOOKED, ONE, TWO

MISSING = "skipped: there is no node on this machine"


def figure(*values: float) -> Figure:
    return Figure(values)


def each_rate(rate: float) -> dict[str, Figure]:
    return {RATE: figure(rate), P50: figure(5.0), P99: figure(20.0)}


def receiver_promises(rates: Mapping[str, Mapping[str, Figure]]) -> dict[str, Promise]:
    names = [RATE, P50, P99]
    latency = {
        **{HALF.format(beside) + name: figure(10.0) for beside in SLOW for name in names},
        **{MOST.format(beside): figure(1_000.0) for beside in SLOW},
    }
    return {each.what: each for each in targets.promises(rates, {ours(kind): latency for kind in KINDS})}


@pytest.mark.parametrize(
    ("promise", "verdict"),
    [
        (Promise.at_least("rate", 2.0, figure(1.0, 2.0, 9.0)), "kept"),
        (Promise.at_least("rate", 2.0, figure(1.0, 1.9, 9.0)), "**missed**"),
        (Promise.at_most("time", 2.0, figure(1.0, 2.0, 9.0)), "kept"),
        (Promise.at_most("time", 2.0, figure(2.1)), "**missed**"),
        (Promise.at_least("rate", 2.0, None), "not measured"),
        (Promise.at_most("time", 2.0, None), "not measured"),
    ],
)
def test_the_median_decides(promise: Promise, verdict: str) -> None:
    assert promise.verdict == verdict
    assert promise.promised.endswith("2.00 x")


def test_what_was_not_measured_is_not_counted_as_kept() -> None:
    promises = [Promise.at_least("a", 1.0, figure(2.0)), Promise.at_least("b", 1.0, None)]
    assert report._verdict(promises).startswith("1 of 2 promises are kept")


def test_a_setup_that_fails_is_named_and_the_others_go_on() -> None:
    def fails() -> dict[str, float]:
        raise running.NotInstalled(f"{MISSING}\nand a log with a | and a path")

    rounds = Rounds(2)
    figures = rounds.alternate({"peer": fails, "ours": lambda: {"rate": 1.0}})
    assert figures == {"ours": {"rate": figure(1.0, 1.0)}}
    assert rounds.failures == {"peer": MISSING}


def test_a_missing_node_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(running.NotInstalled, match=MISSING):
        running.node("fastify_pg.js")


def test_the_receiver_is_compared_with_the_one_that_does_equal_work() -> None:
    rates = {name: each_rate(1_000.0) for name in SETUPS} | {FASTIFY: each_rate(800.0)}
    beside = receiver_promises(rates)["The receiver on PostgreSQL, signature too, beside Fastify + pg"]
    assert (beside.measured, beside.kept) == ("1.25 x", True)


def test_without_node_the_other_promises_of_the_receiver_are_still_measured() -> None:
    promises = receiver_promises({name: each_rate(1_000.0) for name in SETUPS if name != FASTIFY})
    unknown = [what for what, each in promises.items() if each.kept is None]
    assert unknown == [what for what in promises if what.startswith("The receiver on PostgreSQL, signature too")]
    assert SIGNED in SETUPS


def test_the_better_of_one_and_two_processes_is_compared_with_bullmq() -> None:
    figures = {ONE: 2_000.0, TWO: 3_000.0, BULLMQ: 2_500.0, HOOKED: 1_300.0}
    results = {"postgresql": {name: {"rate": [rate]} for name, rate in figures.items()}, "sqlite": {}}
    promises = {each.what: each for each in worker.promises({"figures": results})}
    beside = promises["worker, PostgreSQL: two processes to a BullMQ worker, on the same two cores"]
    assert (beside.measured, beside.kept) == ("1.20 x", True)
    assert promises["worker, PostgreSQL: with a hook"].kept
    assert promises["worker, SQLite: with a hook"].kept is None


@pytest.mark.parametrize(("highest", "kept"), [(0.8, [True, True]), (0.7, [False, True]), (0.5, [False, False])])
def test_a_sustained_load_is_a_share_of_the_processors(highest: float, kept: list[bool]) -> None:
    results = {kind: {"latency": {"p50": [9.0], "p99": [30.0]}, "sustained": {"highest": highest}} for kind in KINDS}
    sustained = [each for each in journey.promises(results) if each.what.startswith("Load")]
    assert [each.kept for each in sustained] == kept


def test_a_sizing_is_the_measured_costs_times_the_load() -> None:
    costs = [{"hosts": 100.0}, {"hosts": 200.0}, {"hosts": 50.0}]
    total = {"PostgreSQL": 150.0, "Redis": 10.0, "log bytes": 10_000.0, "row bytes": 5_000.0}
    assert network.sizes(1_000, costs, total) == [
        "1,000",
        *("0.20", "0.40", "0.10", "0.30", "0.02", "10.00"),
        "648",
        "3,240",
    ]


@pytest.mark.parametrize(
    ("busy", "micros", "limit"),
    [(0.95, 100.0, "the cores; 73%"), (0.6, 950.0, "one core, of hosts"), (0.3, 100.0, "no core: it waits")],
)
def test_what_saturates_first_is_computed(busy: float, micros: float, limit: str) -> None:
    spent = {place: figure(micros if place == "hosts" else micros / 8) for place in PLACES}
    assert network.saturated({"busy": figure(busy), "per second": figure(1_000.0), **spent}).startswith(limit)


def test_hosts_that_cannot_be_made_are_a_sentence() -> None:
    assert "Not measured: network namespaces need root." in network.show({"skipped": "network namespaces need root"})


def test_the_section_on_several_hosts_is_rendered() -> None:
    each = {name: [100.0] for name in (*PLACES, *COUNTERS)} | {"per second": [1_000.0], "busy": [0.95]}
    names = ("workers: 1", "workers: 2", "receivers: 1", "notifications: 1")
    page = network.show({"figures": dict.fromkeys(names, each)})
    assert "| workers: 2 | 1,000 | 1,000 to 1,000 | 1.00 x | 95% | the cores; 25% of their time goes to hosts |" in page
    assert "$" not in page
