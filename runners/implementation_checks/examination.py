"""Examine an implementation, one aspect after the other, in a process of its own.

`examine` yields the name of each aspect before it begins, so that one that never returns can be
named, and then what was seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ..workers.process_state import ProcessState
from .function_aspects import examine_function, examine_layers, examine_output, examine_start
from .implementation import identify
from .parameter_aspects import examine_parameters, examine_ratio
from .report import AspectEvent, CheckedAspect, ImplementationCheck
from .robustness_aspects import ROBUSTNESS, examine_robustness


@dataclass(frozen=True)
class Identified:
    """What was identified: how the implementation is made, and what it is compared with."""

    made_by: str
    attention: str
    title: str
    paper: str


Event = AspectEvent | Identified


@dataclass(frozen=True)
class _Surroundings:
    """What code of a user may change around it: settings of the process, and its children."""

    state: ProcessState
    children: tuple[psutil.Process, ...]

    @classmethod
    def capture(cls) -> _Surroundings:
        return cls(ProcessState.capture(), tuple(_children()))


def _children() -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process().children(recursive=True)
    return children


def examine(check: ImplementationCheck) -> Iterator[Event]:
    """Everything about an implementation, in order.

    Raises:
        AttentuneError: it cannot be examined at all.
    """
    yield "importing it"
    before = _Surroundings.capture()
    implementation = identify(check)
    entry = implementation.entry
    yield Identified(
        implementation.construction.describe(check.channels, implementation.ratio),
        implementation.text,
        entry.title,
        entry.paper,
    )
    yield "making it"
    implementation.make()
    yield from _side_effects("importing or making it", before)
    yield from examine_parameters(implementation)
    yield from examine_ratio(implementation)
    yield "output"
    before = _Surroundings.capture()
    output, reads_gate = examine_output(implementation)
    yield output
    yield from _side_effects("a forward pass", before)
    if output.outcome == "fails":
        return
    yield "function"
    function = examine_function(implementation, reads_gate=reads_gate)
    before.state.restore()  # What it changes in every pass must not decide about the other aspects.
    yield function
    yield from examine_layers(implementation)
    yield "start"
    if not reads_gate:
        yield examine_start(implementation, is_paper=function.outcome in ("same", "deviation"))
    for aspect, examine_aspect in ROBUSTNESS.items():
        before.state.restore()
        yield aspect
        yield examine_robustness(aspect, examine_aspect, implementation)
    before.state.restore()


def _side_effects(cause: str, before: _Surroundings) -> Iterator[Event]:
    """What has been changed in the process; it is undone."""
    children = [child for child in _children() if child not in before.children]
    if children:
        names = ", ".join(dict.fromkeys(child.name() for child in children))
        sentence = f"{cause} leaves processes running ({names})"
        yield CheckedAspect("side effects", "fails", sentence)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
    if changes := before.state.restore():
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        sentence = f"{cause} changes {changes[0]}{more}, for everything else in the process"
        yield CheckedAspect("side effects", "fails", sentence)
