"""Targets: what is promised of the service's speed, the measurement, and whether it is met."""

from dataclasses import dataclass

from benchmarks.rounds import Figure


@dataclass(frozen=True)
class Promise:
    """One line of the summary.

    Attributes:
        what: is promised, in words.
        promised: the bound, as text: "≥ 3.00 x".
        measured: the median of all rounds, as text: "3.40 x".
        spread: from the smallest to the largest of all rounds, as text: "3.20 x to 3.60 x".
        kept: whether the median is within the bound; None if nothing was measured.
    """

    what: str
    promised: str
    measured: str
    spread: str
    kept: bool | None

    @classmethod
    def at_least(cls, what: str, bound: float, figure: Figure | None, form: str = "{:.2f} x") -> "Promise":
        """Return a target with a lower bound; the form writes a number with its unit."""
        kept = figure.median >= bound if figure else None
        return cls(what, f"≥ {form.format(bound)}", *_said(figure, form), kept)

    @classmethod
    def at_most(cls, what: str, bound: float, figure: Figure | None, form: str = "{:.2f} x") -> "Promise":
        """Return a target with an upper bound."""
        kept = figure.median <= bound if figure else None
        return cls(what, f"≤ {form.format(bound)}", *_said(figure, form), kept)

    @property
    def verdict(self) -> str:
        """Render it in words."""
        return {True: "kept", False: "**missed**", None: "not measured"}[self.kept]


def _said(figure: Figure | None, form: str) -> tuple[str, str]:
    if figure is None:
        return "", ""
    return form.format(figure.median), f"{form.format(min(figure.values))} to {form.format(max(figure.values))}"
