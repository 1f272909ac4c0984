"""What a run would do: the rows it would take, and, of a replay, what a dry run shows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select

from models.run import RunKind
from operations.errors import OperationError
from operations.replay.dry_run import dry_run
from operations.replay.report import DeliveryOutcome, DryRunReport
from operations.replay.selection import SelectedDelivery, Selection, select_deliveries
from operations.replay.service import ReplayService
from operations.runs.store import MAX_RUN_ROWS, SelectedRow, digest_of
from worker.services import Services

MAX_PREVIEWED = 1_000
"""Maximum number of deliveries in a plan's dry run; any others are only counted."""


@dataclass(frozen=True)
class RunPlan:
    """What a run over deliveries would do now.

    Attributes:
        kind: what to do.
        rows: the deliveries that it would take.
        waiting: number left out: pending and due, so a worker handles them anyway.
        erased: number left out: their body was erased.
        not_dead: number left out of an ignore: they are not dead.
        report: what the dry run of the first MAX_PREVIEWED showed; empty unless `kind` is replay.
        previewed: number of deliveries in the dry run.
    """

    kind: RunKind
    rows: Sequence[SelectedDelivery]
    waiting: int
    erased: int
    not_dead: int
    report: DryRunReport
    previewed: int

    @property
    def digest(self) -> str:
        """Identifies the rows and their states."""
        return digest_of(self.kind, self.rows)

    @property
    def failing(self) -> Sequence[DeliveryOutcome]:
        """Deliveries that would fail again."""
        return [outcome for outcome in self.report.outcomes if outcome.status != "done"]

    @property
    def unchanged(self) -> Counter[str]:
        """Reason why deliveries would change nothing -> number."""
        return Counter(
            outcome.note or "" for outcome in self.report.outcomes if outcome.status == "done" and not outcome.changes
        )

    def to_run(self, without_failing: bool) -> list[SelectedRow]:
        """Return the rows to start a run with, one booking's together and in order.

        Args:
            without_failing: whether to leave out those that would fail again.
        """
        failing = {outcome.delivery.id for outcome in self.failing} if without_failing else set()
        return [SelectedRow(row.id, row.booking_id, row.ended_at) for row in self.rows if row.id not in failing]


def make_plan(
    services: Services,
    query: Select[Any],
    kind: RunKind,
    by: str,
    *,
    resend: bool = False,
    superseded: bool = False,
    preview: bool = True,
) -> RunPlan:
    """Plan a run over the deliveries of a query. Nothing is changed; the platform's hook is called and rolled back.

    Args:
        services: the stores, the hook and the channels.
        query: selects deliveries.
        kind: what to do with them.
        by: the operator's name.
        resend: whether notifications that were sent are sent again.
        superseded: whether superseded notifications are sent, too.
        preview: whether to do a dry run.

    Raises:
        OperationError: there are too many.
    """
    selection = select_deliveries(services.inbox, query.limit(MAX_RUN_ROWS + 1))
    if len(selection.chosen) > MAX_RUN_ROWS:
        raise OperationError(f"these are more than {MAX_RUN_ROWS} deliveries: narrow the filters")
    if kind == "ignore":
        dead = [row for row in selection.chosen if row.status == "dead"]
        return RunPlan(kind, dead, 0, selection.erased, _not_dead(selection, dead), DryRunReport(), 0)
    previewed = selection.chosen[:MAX_PREVIEWED] if preview else []
    service = ReplayService(services, by, resend=resend, superseded=superseded)
    report = dry_run(service, previewed) if previewed else DryRunReport()
    return RunPlan(kind, selection.chosen, selection.waiting, selection.erased, 0, report, len(previewed))


def _not_dead(selection: Selection, dead: Sequence[SelectedDelivery]) -> int:
    return selection.waiting + len(selection.chosen) - len(dead)
