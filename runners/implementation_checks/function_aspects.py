"""What an implementation computes: its output, its function, its layers and its start."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...spaces.attentions.plugins.factory import find_map_problem
from .implementation import Implementation, describe_failure, random_map, show_shape
from .operator_trace import OperatorTrace, trace_operators
from .references import PaperModule, paper_modules
from .report import AspectEvent, CheckedAspect, Outcome
from .weight_mapping import compare_functions, parameter_shapes

START_CHANNELS, START_SIDE, START_IMAGES = 64, 14, 4
SCALE_TOLERANCE = 0.15
"""Of |y| / |x| before training, against the paper's."""


def examine_output(implementation: Implementation) -> tuple[CheckedAspect, bool]:
    """Shape, type, and whether the input stays as it is; and whether the output is the gate."""
    channels = implementation.channels
    module = implementation.make().eval()
    x = random_map(channels)
    x[:, :, 0, 0] = 0
    received = x.clone()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), torch.no_grad():
            result: Any = module(received)
    except (Exception, SystemExit) as error:
        sentence = describe_failure(error, f"for a map {show_shape(tuple(x.shape))}")
        return CheckedAspect("output", "fails", sentence), False
    is_gate = _is_gate(x, result)
    outcome, sentence = _describe_output(x, received, result, is_gate, bool(printed.getvalue()))
    return CheckedAspect("output", outcome, sentence), is_gate


def _describe_output(
    x: Tensor, received: Tensor, result: Any, is_gate: bool, prints: bool
) -> tuple[Outcome, str]:
    """What is to be said of an output.

    Args:
        x: the map.
        received: the tensor that the module got, which was equal to the map.
        result: what it returned.
        is_gate: whether that is its gate.
        prints: whether it has printed something.
    """
    if is_gate:
        shape = show_shape(tuple(result.shape))
        return (
            "differs",
            f"it returns its gate {shape}, not the map: forward has to return x * gate",
        )
    problem = find_map_problem(x, result)
    if problem is not None:
        return "fails", f"it {problem}"
    if not torch.equal(received, x):
        return (
            "differs",
            "it changes its input in place: a shortcut that adds the same map, or a gradient that "
            "needs it, gets the changed one",
        )
    if not bool(result.isfinite().all()):
        return "fails", "it returns NaN or infinity"
    if prints:
        return "note", "a map of the same shape; it prints in every pass"
    return "same", "a map of the same shape and type; its input is kept"


def _is_gate(x: Tensor, result: Any) -> bool:
    """Whether a result broadcasts to the map and has the values of a gate, also where x is 0."""
    if not isinstance(result, Tensor) or result.ndim != x.ndim:
        return False
    if any(a not in (1, b) for a, b in zip(result.shape, x.shape, strict=True)):
        return False
    if len(result) != len(x) or not bool(((result >= 0) & (result <= 2)).all()):
        return False
    at_zero = result.expand(x.shape)[:, :, 0, 0]
    return bool((at_zero > 0).any()) and bool((result.expand(x.shape)[x < 0] > 0).any())


def _times_gate(x: Tensor, output: Any) -> Tensor:
    result: Tensor = x * output
    return result


def examine_function(implementation: Implementation, *, reads_gate: bool) -> CheckedAspect:
    """Whether it computes what the paper's module computes from the same weights."""
    aspect, entry, channels = "function", implementation.entry, implementation.channels
    shapes = parameter_shapes(implementation.make())
    candidates = paper_modules(entry, implementation.settings, channels, shapes)
    least, is_complete, tried = float("inf"), True, 0
    options = {"read_output": _times_gate} if reads_gate else {}
    for candidate in candidates:
        try:
            comparison = compare_functions(
                implementation.make(),
                candidate.make(),
                channels,
                split_projection=candidate.splits_projection,
                **options,
            )
        except (Exception, SystemExit) as error:
            return CheckedAspect(aspect, "fails", describe_failure(error, "in double precision"))
        if comparison is None:
            continue
        tried += comparison.assignments
        is_complete = is_complete and comparison.is_complete
        least = min(least, comparison.difference)
        if comparison.is_equal:
            return _equal_function(aspect, candidate, reads_gate)
    causes = _differences(implementation)
    because = f": {'; '.join(causes)}" if causes else ""
    if not tried:
        return CheckedAspect(
            aspect,
            "differs",
            f"its tensors cannot be mapped onto the paper's, so it is another function{because}",
        )
    if not is_complete:
        return CheckedAspect(
            aspect,
            "note" if not causes else "differs",
            f"ambiguous: its tensors can be mapped in more than {tried:,} ways, and none that was "
            f"tried gives the paper's outputs{because}",
        )
    return CheckedAspect(
        aspect,
        "differs",
        f"with the same weights its outputs differ from the paper's by up to {least:.2g} "
        f"times the largest{because}",
    )


def _equal_function(aspect: str, candidate: PaperModule, reads_gate: bool) -> CheckedAspect:
    same = "with the same weights it computes the same outputs as the paper's"
    if reads_gate:
        return CheckedAspect(aspect, "same", f"{same}, once x is multiplied by what it returns")
    if not candidate.deviations:
        return CheckedAspect(aspect, "same", same)
    if not candidate.is_accepted:
        faults = [d.sentence for d in candidate.deviations if not d.is_accepted]
        return CheckedAspect(aspect, "differs", f"it would be the paper's, but has {faults[0]}")
    if candidate.hard_sigmoid:
        deviation = candidate.deviations[-1].sentence
        return CheckedAspect(aspect, "deviation", f"{same}, with {deviation}")
    return CheckedAspect(aspect, "deviation", f"{same}, with the deviations named above")


def _traces(implementation: Implementation) -> tuple[OperatorTrace, OperatorTrace] | None:
    channels = implementation.channels
    theirs = trace_operators(implementation.make(), channels)
    paper = PaperModule(implementation.entry, implementation.settings, channels).make()
    reference = trace_operators(paper, channels)
    return None if theirs is None or reference is None else (theirs, reference)


_GATES = ("sigmoid", "softmax", "tanh", "hardsigmoid")


def _differences(implementation: Implementation) -> list[str]:
    """What an implementation has that the paper has not, as far as its operators say."""
    traces = _traces(implementation)
    if traces is None:
        return []
    theirs, paper = traces
    causes = [
        f"it does not pool by the {kind} over {where}, as the paper does"
        for kind, where in sorted(paper.pools - theirs.pools)
    ]
    for gate in _GATES:
        if gate in paper.functions and gate not in theirs.functions:
            instead = sorted((theirs.functions & {*_GATES}) - paper.functions)
            has = f" but {' and '.join(instead)}" if instead else ", so its gate is unbounded"
            causes.append(f"it has no {gate}{has}")
    if "sigmoid" in theirs.functions - paper.functions and not causes:
        causes.append("it scales by a sigmoid, which the paper has not")
    if ("sigmoid", "relu") in theirs.after - paper.after:
        causes.append("a ReLU directly before the sigmoid, so its gate is never below 0.5")
    return causes


def examine_layers(implementation: Implementation) -> Iterator[AspectEvent]:
    """Layers in an order that makes no sense, whatever the function."""
    yield "layers"
    traces = _traces(implementation)
    if traces is None:
        return
    theirs, _ = traces
    if ("relu", "sigmoid") in theirs.after:
        sentence = (
            "a ReLU after the sigmoid has no effect, because a sigmoid is positive; the paper's "
            "ReLU is between the two layers"
        )
        yield CheckedAspect("layers", "differs", sentence)


def examine_start(implementation: Implementation, *, is_paper: bool) -> CheckedAspect:
    """What it does to a map before it is trained."""
    entry = implementation.entry
    fixed = implementation.construction.is_fixed
    channels = implementation.channels if fixed else START_CHANNELS
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module = implementation.make(channels).eval()
        paper = PaperModule(entry, implementation.settings, channels).make().eval()
        x = torch.randn(START_IMAGES, channels, START_SIDE, START_SIDE).relu()
        y = module(x.clone())
        expected = float(paper(x).norm() / x.norm())
    if not isinstance(y, Tensor) or y.shape != x.shape:
        return CheckedAspect("start", "note", "not measured: it returns no map")
    scale = float(y.norm() / x.norm())
    if torch.equal(x, y):
        return CheckedAspect("start", "same", "it begins as the identity: |y| / |x| is 1")
    shown = f"|y| / |x| before training is {scale:.2f}, the paper's {expected:.2f}"
    if abs(scale - expected) <= SCALE_TOLERANCE:
        effect = "" if scale > 0.9 else "; a pretrained network is disturbed at first"
        return CheckedAspect("start", "same", shown + effect)
    if is_paper:
        return CheckedAspect("start", "note", f"{shown}: it initialises its weights otherwise")
    return CheckedAspect("start", "differs", shown)
