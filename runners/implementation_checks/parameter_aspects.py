"""Parameters of an implementation: their number and shapes at several widths, and the ratio."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from ...errors import AttentionError
from .implementation import Implementation, listed, random_map, show_shape
from .references import MAP_SIZE, PaperModule, paper_modules
from .report import AspectEvent, CheckedAspect
from .weight_mapping import parameter_shapes

WIDTHS = (256, 1024)
"""Channels for which parameters are counted besides those asked for."""
RATIO_PROBES = ((256, 4), (256, 8))
"""Channels and reduction ratios at which the use of the ratio is checked."""


def examine_parameters(implementation: Implementation) -> Iterator[AspectEvent]:
    """Their number and shapes, for several channels if the class takes them."""
    yield "parameters"
    accepted: dict[str, None] = {}
    sentences: list[str] = []
    counts = []
    for width in (implementation.channels, *WIDTHS):
        module = _make_for_width(implementation, width)
        if module is None:
            continue
        count = sum(parameter.numel() for parameter in module.parameters())
        expected = implementation.entry.parameters(width, implementation.settings, MAP_SIZE)
        counts.append((width, count, expected))
        candidates = paper_modules(
            implementation.entry, implementation.settings, width, parameter_shapes(module)
        )
        if not candidates:
            sentences += _describe_shapes(implementation, width, module) if not sentences else []
        elif candidates[0].is_accepted:
            accepted |= dict.fromkeys(d.sentence for d in candidates[0].deviations)
        else:
            faults = [d.sentence for d in candidates[0].deviations if not d.is_accepted]
            sentences += [sentence for sentence in faults if not _repeats(sentence, sentences)]
    shown = _describe_counts(counts)
    if sentences:
        yield CheckedAspect("parameters", "differs", f"{shown}: {'; '.join(sentences)}")
    elif accepted:
        yield CheckedAspect("parameters", "deviation", f"{shown}: {'; '.join(accepted)}")
    else:
        yield CheckedAspect("parameters", "same", shown)


def _repeats(sentence: str, sentences: list[str]) -> bool:
    """Whether a sentence says of another width what one has said already."""
    words = sentence.split()[:3]
    return any(other.split()[:3] == words for other in sentences)


def _make_for_width(implementation: Implementation, channels: int) -> nn.Module | None:
    """A module for so many channels; None if there is none, or if it has been counted already."""
    if channels == implementation.channels:
        return implementation.make()
    if implementation.construction.is_fixed:
        module = implementation.make().eval()
        return module if _accepts(module, channels) else None
    try:
        return _make_without_memory(implementation, channels)
    except AttentionError:  # It is for certain channels only.
        return None


def _accepts(module: nn.Module, channels: int) -> bool:
    """Whether a module that is made without a number of channels works for this one."""
    try:
        with torch.no_grad():
            module(random_map(channels))
    except (Exception, SystemExit):
        return False
    return True


def _make_without_memory(
    implementation: Implementation, channels: int, ratio: int | None = None
) -> nn.Module:
    try:
        with torch.device("meta"):
            return implementation.make(channels, ratio)
    except Exception:  # The constructor may read the values of tensors.
        return implementation.make(channels, ratio)


def _describe_counts(counts: list[tuple[int, int, int]]) -> str:
    """`4,258 at C = 64 where the paper has 612 (7 times as many; 8 times at C = 1024)`."""
    wrong = [entry for entry in counts if entry[1] != entry[2]]
    if not wrong:
        width, count, _ = counts[0]
        return f"{count:,} at C = {width}, as the paper's"
    width, count, expected = wrong[0]
    text = f"{count:,} at C = {width} where the paper has {expected:,}"
    times = [
        f"{wrong_count / paper_count:.2g} times as many at C = {channels}"
        for channels, wrong_count, paper_count in (wrong[0], wrong[-1])
        if paper_count and not 0.95 < wrong_count / paper_count < 1.05
    ]
    return f"{text} ({', '.join(dict.fromkeys(times))})" if times else text


def _describe_shapes(implementation: Implementation, channels: int, module: nn.Module) -> list[str]:
    """Which tensors the implementation has and the paper has not, and the other way round."""
    paper = PaperModule(implementation.entry, implementation.settings, channels).make()
    expected = parameter_shapes(paper)
    additional, missing = [], list(expected)
    for name, parameter in module.named_parameters():
        shape = tuple(length for length in parameter.shape if length != 1)
        if shape in missing:
            missing.remove(shape)
        else:
            additional.append(f"{name} {show_shape(tuple(parameter.shape))}")
    lacking = [
        f"{name} {show_shape(tuple(parameter.shape))}"
        for name, parameter in paper.named_parameters()
        if (shape := tuple(length for length in parameter.shape if length != 1)) in missing
        and not missing.remove(shape)  # type: ignore[func-returns-value]
    ]
    sentences = []
    if "r" in implementation.settings and _has_no_reduction(module, channels, expected):
        sentences.append("it has no reduction: a layer C → C where the paper has C → d → C")
    if additional:
        sentences.append(f"it has {listed(additional)}, which the paper has not")
    if lacking:
        sentences.append(f"it lacks the paper's {listed(lacking)}")
    return sentences


def _has_no_reduction(module: nn.Module, channels: int, expected: list[tuple[int, ...]]) -> bool:
    square = (channels, channels)
    return square in parameter_shapes(module) and square not in expected


def examine_ratio(implementation: Implementation) -> Iterator[AspectEvent]:
    """Whether the reduction ratio is used, and how."""
    parameter = implementation.construction.ratio_parameter
    if "r" not in implementation.settings:
        return
    if parameter is None:
        if not implementation.construction.is_fixed:
            yield CheckedAspect("ratio", "note", "it has no argument for the reduction ratio")
        return
    if parameter.name in implementation.construction.arguments:
        return
    yield "ratio"
    shapes = []
    for channels, ratio in RATIO_PROBES:
        try:
            module = _make_without_memory(implementation, channels, ratio)
        except AttentionError as error:
            yield CheckedAspect("ratio", "note", f"not checked: {error}")
            return
        shapes.append(parameter_shapes(module))
    (channels, low), (_, high) = RATIO_PROBES
    if shapes[0] == shapes[1]:
        sentence = (
            f"the argument {parameter.name!r} has no effect: {low} and {high} give the same "
            f"parameters at C = {channels}"
        )
        yield CheckedAspect("ratio", "differs", sentence)
    elif sum(map(math.prod, shapes[0])) < sum(map(math.prod, shapes[1])):
        sentence = (
            f"a larger {parameter.name!r} gives more parameters: it is taken for the hidden width, "
            f"as in Linear(C, r), where the paper has C // r"
        )
        yield CheckedAspect("ratio", "differs", sentence)
    else:
        sentence = f"a larger {parameter.name!r} gives fewer parameters"
        yield CheckedAspect("ratio", "same", sentence)
