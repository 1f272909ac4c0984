"""Past one machine: receivers and workers on hosts of their own, in front of one PostgreSQL and one Redis."""

from benchmarks.network.measurement import measure as measure
from benchmarks.network.report import show as show
