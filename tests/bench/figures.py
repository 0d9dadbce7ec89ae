"""The arithmetic of the benchmark: percentiles, medians, the normalisation of CPU time. Pure."""

from collections.abc import Iterable, Sequence

_DROPPED_SHARE = 0.05  # of the slowest calibration loops: an interrupt in one of them is not the core's speed


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank). Needs a value."""
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 10_000) // 10_000)
    return ordered[max(rank, 1) - 1]


def median(values: Sequence[float]) -> float:
    """The middle, or the mean of the two in the middle. Needs a value."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / median: how far repeated slices lie apart; 0 for a single one."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def loop_time(samples: Iterable[float]) -> float:
    """What one calibration loop took in a slice: the mean without the slowest. Needs a sample."""
    ordered = sorted(samples)
    kept = ordered[: max(1, len(ordered) - int(len(ordered) * _DROPPED_SHARE))]
    return sum(kept) / len(kept)


def as_on_a_quiet_core(cpu_ms: float, loop_us: float, quiet_loop_us: float) -> float:
    """CPU time as it would be on a quiet core: there the loop, which took `loop_us` now, takes `quiet_loop_us`."""
    return cpu_ms * quiet_loop_us / loop_us


def ratio(of: float, to: float) -> float | None:
    """of / to; None where nothing can be compared."""
    return of / to if to else None
