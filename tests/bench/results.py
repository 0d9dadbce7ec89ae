"""What a run found, as values that become JSON and tables. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.figures import as_on_a_quiet_core, median, percentile, spread

FORMAT = 1
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class SliceResult:
    """One slice: counts, CPU ms as the kernel counted it, and the calibration loop's time meanwhile."""

    seconds: float
    operations: int
    cpu_ms: dict[str, float]
    generator_cpu_ms: float
    loop_us: float


@dataclass(slots=True)
class Measurement:
    """One work on one target: its slices, and all latencies together."""

    target: str
    work: str
    operation: str
    slices: list[SliceResult] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    database_bytes: int | None = None  # by which the database grew, over all slices


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """The processes of one group, in MiB: the largest of each figure, and the sum of what is proportional."""

    group: str
    processes: int
    resident: float
    peak: float
    proportional: float | None


def summary(measurement: Measurement, quiet_loop_us: float) -> dict[str, Any]:
    """What a reader wants to know: medians over slices, CPU per operation as on a quiet core, latencies."""
    slices = [current for current in measurement.slices if current.operations]
    found: dict[str, Any] = {
        "target": measurement.target,
        "work": measurement.work,
        "operation": measurement.operation,
        "operations": sum(current.operations for current in slices),
        "errors": dict(measurement.errors),
        "slices": [asdict(current) for current in measurement.slices],
    }
    if not slices:
        return found
    if measurement.database_bytes is not None:
        found["database_bytes"] = measurement.database_bytes / found["operations"]
    per_slice = [cpu_per_operation(current, quiet_loop_us) for current in slices]
    totals = [sum(groups.values()) for groups in per_slice]
    names = sorted({name for groups in per_slice for name in groups})
    generator = [as_on_a_quiet_core(s.generator_cpu_ms, s.loop_us, quiet_loop_us) / s.operations for s in slices]
    return found | {
        "per_s": median([current.operations / current.seconds for current in slices]),
        "cpu_ms": median(totals),
        "cpu_spread": spread(totals),
        "cpu_ms_by_group": {name: median([groups.get(name, 0.0) for groups in per_slice]) for name in names},
        "generator_cpu_ms": median(generator),
        "loop_us": median([current.loop_us for current in slices]),
        "latency_ms": _latencies(measurement.latencies_ms),
    }


def _latencies(values: Sequence[float]) -> dict[str, float]:
    return {name: percentile(values, share) for name, share in _SHARES.items()} if values else {}


def cpu_per_operation(current: SliceResult, quiet_loop_us: float) -> dict[str, float]:
    """CPU ms by group for one operation, as on a quiet core."""
    return {
        group: as_on_a_quiet_core(cpu_ms, current.loop_us, quiet_loop_us) / current.operations
        for group, cpu_ms in current.cpu_ms.items()
    }


def rescaled(document: dict[str, Any], quiet_loop_us: float) -> dict[str, Any]:
    """A run's document with its CPU times as on the quiet core of another run, so that both may be compared."""
    factor = quiet_loop_us / document["quiet_loop_us"]
    return document | {
        "quiet_loop_us": quiet_loop_us,
        "results": [_scaled(result, factor) for result in document["results"]],
    }


def _scaled(result: dict[str, Any], factor: float) -> dict[str, Any]:
    if "cpu_ms" not in result:
        return result
    groups = {name: value * factor for name, value in result["cpu_ms_by_group"].items()}
    return result | {"cpu_ms": result["cpu_ms"] * factor, "cpu_ms_by_group": groups}


def by_work(results: Sequence[dict[str, Any]], target: str) -> dict[str, dict[str, Any]]:
    """The results of one target."""
    return {result["work"]: result for result in results if result["target"] == target}
