"""What a run came to, as tables and sentences. Pure."""

from collections.abc import Iterator, Sequence

from tests.bench.figures import percentile
from tests.bench.limits.beyond import WEDGED_S, Aftermath, Pushed
from tests.bench.limits.growth import Done, Step, first_full
from tests.bench.limits.sender import Tally
from tests.bench.tables import Row, figure

_GREW = 1.3
"""A cost that rose by less from the first step to the last is called the same: steps are short."""


def step_line(step: Step) -> str:
    """Progress, in a line."""
    works = ", ".join(f"{name} {done.per_s:.0f}/s at {done.cpu_ms:.2f} ms" for name, done in step.works.items())
    return f"{step.ghosts} ghosts, {step.rooms} rooms, {step.in_flight} in flight: {works}; full: {_full(step)}"


def growth_rows(steps: Sequence[Step]) -> list[Row]:
    """A line for each step."""
    rows: list[Row] = [
        (
            *("ghosts, all in one room", "rooms", "in flight", "register per s (CPU ms)", "join per s (CPU ms)"),
            *("room per s (CPU ms)", "send per s (CPU ms)", "send p50 / p99 ms", "refused", "memory MiB"),
            *("full while sending", "longest queue"),
        )
    ]
    for step in steps:
        send = step.works["send"]
        queue, length = step.seen["send"].longest_queue()
        rows.append(
            (
                *(f"{step.ghosts:,}", f"{step.rooms:,}", f"{step.in_flight:,}"),
                *(_rate(step.works.get(name)) for name in ("register", "join", "room", "send")),
                *(f"{send.p50_ms:,.0f} / {send.p99_ms:,.0f}", _refusals(step.tally), figure(step.memory_mib)),
                *(_full(step), f"{queue} {length:,}" if length else "–"),
            )
        )
    return rows


def beyond_rows(pushed: Sequence[Pushed]) -> list[Row]:
    """A line for each load beyond the limit."""
    rows: list[Row] = [
        (
            *("beyond, load of", "in flight", "per s", "p50 / p99 ms", "refused", "retry_after_ms", "other answers"),
            *("unknown", "full", "longest queue", "a human's p50 / p99 ms", "of his refused"),
        )
    ]
    for one in pushed:
        queue, length = one.seen.longest_queue()
        after_ms = one.tally.retry_after_ms
        rows.append(
            (
                *(one.name, f"{one.in_flight:,}", figure(one.per_s), _latencies(one.tally.latencies_ms)),
                *(_refusals(one.tally), f"{min(after_ms)} to {max(after_ms)}" if after_ms else "–"),
                *(str(sum(one.tally.faults.values())), str(one.tally.unknown), one.seen.full() or "nothing"),
                *(f"{queue} {length:,}" if length else "–", _latencies(one.human_ms)),
                f"{one.human_refused} of {one.human_refused + len(one.human_ms)}",
            )
        )
    return rows


def summary_lines(steps: Sequence[Step], pushed: Sequence[Pushed]) -> Iterator[str]:
    """What was full first, what grew dearer, and what should not have been answered."""
    full = first_full(list(steps))
    if full is None:
        yield "Messages a second rose to the last step: no limit was reached within the time."
    else:
        done = full.works["send"]
        yield (
            f"Full first, with {full.in_flight} messages in flight and {done.per_s:,.0f} sent a second: {_full(full)}. "
            "More in flight only waited longer."
        )
    for name in ("register", "join", "room", "send"):
        costs = [step.works[name].cpu_ms for step in steps if name in step.works]
        if name == "send":  # with few in flight each wakes sleeping processes, which is not growth
            costs = [step.works[name].cpu_ms for step in steps if step.in_flight >= steps[-1].in_flight]
        if len(costs) > 1 and costs[0]:
            times = costs[-1] / costs[0]
            verdict = "the same at every size" if times < _GREW else f"{times:.1f} times dearer at the largest size"
            yield f"CPU of a {name}: {verdict} ({costs[0]:.2f} and {costs[-1]:.2f} ms)."
    for tally in [one.tally for one in steps] + [one.tally for one in pushed]:
        for fault, count in tally.faults.items():
            yield f"WRONG: {count} times {fault}"


def aftermath_lines(found: Aftermath) -> Iterator[str]:
    """How the server was when the load had ended."""
    calm, told = found.calm_after_s, found.told_after_s
    yield (
        f"WEDGED: a send takes longer than usual ({found.usual_ms:.0f} ms) after {WEDGED_S:.0f} s"
        if calm is None
        else f"{calm:.1f} s after the last message a send takes its usual time again ({found.usual_ms:.0f} ms)."
    )
    yield (
        f"NOT TOLD: the service lacks events after {WEDGED_S:.0f} s"
        if told is None
        else f"{told:.1f} s after it the service has been told of everything."
    )
    for name, one in (("rooms", found.rooms), ("the service's transactions", found.service)):
        yield (
            f"Of {one.acknowledged:,} acknowledged messages in {name}: {one.lost} lost, {one.twice} there twice, "
            f"{one.out_of_order} out of order."
        )


def _full(step: Step) -> str:
    return step.seen["send"].full() or "nothing"


def _rate(done: Done | None) -> str:
    return "–" if done is None else f"{done.per_s:,.0f} ({done.cpu_ms:.2f})"


def _latencies(values: Sequence[float]) -> str:
    return f"{percentile(values, 0.5):,.0f} / {percentile(values, 0.99):,.0f}" if values else "–"


def _refusals(tally: Tally) -> str:
    return ", ".join(f"{count:,} × {status}" for status, count in sorted(tally.refused.items())) or "0"
