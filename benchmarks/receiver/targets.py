"""Targets of the receiver, compared with the figures."""

from collections.abc import Iterable, Iterator, Mapping

from benchmarks.promises import Promise
from benchmarks.receiver.measurement import SLOW
from benchmarks.receiver.setups import BARE, FASTIFY, NAIVE, NAIVE_ON_OURS, OTHERS, SIGNED, ours
from benchmarks.receiver.stages import FLASK_STAGE, RECEIVER_STAGES, SERVER_STAGES, stage_name
from benchmarks.rounds import Figure
from benchmarks.stores import KINDS, NAMES, Kind

RATE, P50, P99 = "per second", "p50 ms", "p99 ms"
HALF, MOST = "half, {}: ", "most, {}: per second"
ALONE, ONE = list(SLOW)[:2]

TIMES_NAIVE, TIMES_NAIVE_ON_OURS, SHARE_OF_BARE = 3.0, 1.5, 0.6
LATENCY_MILLISECONDS = 25.0
UNSLOWED = 0.9
"""At least this share of the rate without a slow client counts as not slowed: rounds vary by as much."""

Figures = Mapping[str, Mapping[str, Figure]]


def promises(rates: Figures, latency: Figures) -> list[Promise]:
    """Return all targets, on both databases."""
    on_each = (promise for kind in KINDS for promise in (*_rates(rates, kind), *_latency(latency[ours(kind)], kind)))
    return [*_equal_work(rates), *on_each]


def _equal_work(rates: Figures) -> Iterator[Promise]:
    """Beside the receiver that does the same: an HMAC over the body, and a committed row of its own for each body."""
    what = "The receiver on PostgreSQL, signature too, beside Fastify + pg"
    yield Promise.at_least(what, 1.0, _over(rates, SIGNED, [FASTIFY]))
    yield Promise.at_most(f"{what}: p99", 1.0, _over(rates, SIGNED, [FASTIFY], P99))


def costs(stages: Figures, kind: Kind) -> dict[str, Figure]:
    """Return what each stage costs, in microseconds per delivery: the difference to the stage before, per round."""
    found: dict[str, Figure] = {}
    below = (0.0,) * len(stages[SERVER_STAGES[0]][RATE].values)
    for name in (*SERVER_STAGES, *RECEIVER_STAGES):
        values = stages[stage_name(name, kind if name in RECEIVER_STAGES else None)][RATE].values
        whole = tuple(1e6 / value for value in values)
        found[name] = Figure(tuple(mine - theirs for mine, theirs in zip(whole, below, strict=True)))
        below = whole
    return found


def added(stages: Figures) -> float:
    """Return what Flask would add if deliveries passed it, in microseconds."""
    bare, server = (stages[stage_name(name, None)][RATE].median for name in (FLASK_STAGE, SERVER_STAGES[0]))
    return 1e6 / bare - 1e6 / server


def _rates(rates: Figures, kind: Kind) -> Iterator[Promise]:
    mine, name = ours(kind), f"The receiver on {NAMES[kind]}"
    yield Promise.at_least(f"{name}, beside the naive receiver on gunicorn", TIMES_NAIVE, _over(rates, mine, NAIVE))
    on_ours = _over(rates, mine, [NAIVE_ON_OURS])
    yield Promise.at_least(f"{name}, beside the naive receiver on our server", TIMES_NAIVE_ON_OURS, on_ours)
    for other, ways in OTHERS.items():
        yield Promise.at_least(f"{name}, beside {other}", 1.0, _over(rates, mine, ways))
    share = _over(rates, mine, [BARE])
    yield Promise.at_least(f"{name}, of a bare Flask view on our server", SHARE_OF_BARE, share, "{:.0%}")


def _latency(mine: Mapping[str, Figure], kind: Kind) -> Iterator[Promise]:
    name, form = f"The receiver on {NAMES[kind]}", "{:.1f} ms"
    at_half, beside = (mine[HALF.format(each) + P99] for each in (ALONE, ONE))
    yield Promise.at_most(f"{name}, p99 at half of its maximum", LATENCY_MILLISECONDS, at_half, form)
    yield Promise.at_most(f"{name}, the same beside a slow client", LATENCY_MILLISECONDS, beside, form)
    share = mine[MOST.format(ONE)].over(mine[MOST.format(ALONE)])
    yield Promise.at_least(
        f"{name}, its maximum beside a slow client, as a share of that without", UNSLOWED, share, "{:.0%}"
    )


def _over(rates: Figures, mine: str, ways: Iterable[str], quantity: str = RATE) -> Figure | None:
    """Return the ratio to the better way of a setup; None if that has no figure."""
    measured = [way for way in ways if way in rates]
    if mine not in rates or not measured:
        return None
    best = max(measured, key=lambda way: rates[way][RATE].median)
    return rates[mine][quantity].over(rates[best][quantity])
