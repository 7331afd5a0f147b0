"""The insertions of an architecture as a module of Python: `network_code`.

It needs torch, and timm for a backbone of timm. The paths and channels are those of the site map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...errors import ArchitectureError
from ..architecture import Architecture
from ..attentions.registry import get_attention
from ..backbones.discover import find_sites
from ..backbones.network_sites import find_network_sites
from ..backbones.sites import Anchor, SiteMap
from ..backbones.trace import NCHW, NHWC, layout_of
from ..networks.build import name_attentions
from ..networks.insert import ChannelsLastAttentions
from ..networks.own_network import parse_insertions
from ..networks.placement import Placement, placements
from .attention_code import (
    add_attention,
    call,
    constructor_arguments,
    fill,
    is_blended,
    licence_note,
    make_listing,
)
from .source import MAX_LINE_LENGTH, SourceListing
from .wrappers import (
    AttendedInput,
    AttendedOutput,
    AttendedShortcut,
    KeptInput,
    KeptMap,
    OriginalInput,
    WithConvolutionInput,
    wrap,
)


@dataclass(frozen=True)
class _Step:
    """The lines that insert attention at one anchor; equal for anchors that differ in path and
    channels only.

    Attributes:
        lines: code that uses `path` and `channels`, and `branch` or `convolution`.
        values: path and channels, and the path of branch or convolution if there is one.
        names: of the values.
    """

    lines: tuple[str, ...]
    values: tuple[str | int, ...]
    names: tuple[str, ...]


def network_code(architecture: Architecture) -> str:
    """The insertions into a backbone of timm.

    Args:
        architecture: the backbone and its insertions.

    Raises:
        ArchitectureError: the text names no attention or a site that the backbone does not have,
            or attends to tokens.
    """
    site_map = find_sites(architecture.backbone)
    removed = site_map.own_attention_at(architecture.removed)
    if not architecture.insertions and not removed:
        raise ArchitectureError(
            f"{architecture} inserts no attention and removes none; write for example "
            f"{architecture.backbone}+se(r=16)@all.residual, or an attention alone, se(r=16)"
        )
    return _render(architecture, site_map, str(architecture), of_timm=True)


def own_network_code(model: nn.Module, text: str, example: Sequence[Any] | Any) -> str:
    """The insertions into a network of one's own.

    Args:
        model: the network, which stays as it is.
        text: insertions as for `attentune.insert`.
        example: its input, on which it runs once.

    Raises:
        ArchitectureError, BackboneError, UsageError: as `attentune.insert`.
    """
    name = type(model).__name__
    architecture = parse_insertions(text, name)
    site_map = find_network_sites(model, example)
    return _render(architecture, site_map, str(architecture), of_timm=False)


def _render(architecture: Architecture, site_map: SiteMap, text: str, *, of_timm: bool) -> str:
    placed = placements(architecture, site_map)
    _refuse_tokens(placed)
    listing = make_listing()
    listing.add_import("torch", "nn")
    steps = list(_make_steps(listing, placed))
    if steps:
        listing.add(wrap)
    removed = site_map.own_attention_at(architecture.removed)
    listing.add_text(_insertion_function(steps, [own.module for own in removed]))
    if of_timm:
        listing.add_import("timm")
        listing.add_import("typing", "Any")
        listing.add_import("torch")
        listing.add_text(_timm_functions(architecture.backbone, site_map))
    return listing.render(_docstring(architecture, text, placed, of_timm=of_timm))


def _refuse_tokens(placed: Iterable[Placement]) -> None:
    for placement in placed:
        if layout_of(placement.site.anchor) not in (NCHW, NHWC):
            raise ArchitectureError(
                f"{placement} attends to tokens whose order only attentune knows, so there is no "
                "code to paste; use attentune.create_model"
            )


def _make_steps(listing: SourceListing, placed: list[Placement]) -> Iterable[_Step]:
    """The steps of all anchors, in the order of the placements; classes go to the listing."""
    groups: dict[Anchor, list[tuple[str, Placement]]] = {}
    for name, placement in zip(name_attentions(placed), placed, strict=True):
        groups.setdefault(placement.site.anchor, []).append((name, placement))
    classes: dict[str, str] = {}
    for anchor, group in groups.items():
        for _, placement in group:
            entry = get_attention(placement.insertion.attention)
            classes.setdefault(entry.name, add_attention(listing, entry))
            if is_blended(entry, placement.insertion):
                add_attention(listing, entry, placement.insertion)
        yield _make_step(listing, anchor, group, classes)


def _make_step(
    listing: SourceListing,
    anchor: Anchor,
    group: list[tuple[str, Placement]],
    classes: dict[str, str],
) -> _Step:
    kind, path, *rest = anchor
    lines: list[str] = []
    calls = []
    values: list[str | int] = [path, group[0][1].site.channels]
    names = ["path", "channels"]
    for name, placement in group:
        code = _attention_call(placement, classes[placement.insertion.attention])
        convolution = placement.site.convolution
        if placement.convolution is not None and convolution is not None:
            _add_all(listing, KeptMap, KeptInput, WithConvolutionInput)
            if "convolution" not in names:
                values.append(convolution.module)
                names.append("convolution")
            kept = f"kept_{name}"
            lines += [f"{kept} = KeptMap()", f"wrap(model, convolution, KeptInput, {kept})"]
            code = f"WithConvolutionInput({code}, {kept})"
        calls.append((name, code))
    listing.add_import("collections", "OrderedDict")
    container = "nn.Sequential"
    if layout_of(anchor) == NHWC:
        listing.add(ChannelsLastAttentions)
        container = "ChannelsLastAttentions"
    lines += _container(container, calls)
    if kind == "out":
        listing.add(AttendedOutput)
        lines.append("wrap(model, path, AttendedOutput, attention)")
    elif kind == "in":
        listing.add(AttendedInput)
        lines.append("wrap(model, path, AttendedInput, attention)")
    else:
        _add_all(listing, KeptMap, AttendedShortcut, OriginalInput)
        values.append(rest[0])
        names.append("branch")
        lines += [
            "kept = KeptMap()",
            "wrap(model, path, AttendedShortcut, attention, kept)",
            "wrap(model, branch, OriginalInput, kept)",
        ]
    return _Step(tuple(lines), tuple(values), tuple(names))


def _add_all(listing: SourceListing, *classes: type[nn.Module]) -> None:
    for cls in classes:
        listing.add(cls)


def _container(container: str, calls: list[tuple[str, str]]) -> list[str]:
    """Lines that make the attentions of an anchor, by their names."""
    line = f"attention = {container}(OrderedDict({', '.join(f'{n}={c}' for n, c in calls)}))"
    if len(line) + 8 <= MAX_LINE_LENGTH:
        return [line]
    inner = [f"        {name}={code}," for name, code in calls]
    return [f"attention = {container}(", "    OrderedDict(", *inner, "    )", ")"]


def _attention_call(placement: Placement, cls: str) -> str:
    entry = get_attention(placement.insertion.attention)
    arguments = constructor_arguments(entry, placement.insertion)
    if "r" in placement.insertion.settings:
        arguments = {"reduction_ratio": placement.insertion.settings["r"], **arguments}
    if placement.convolution is not None:
        arguments["convolution"] = placement.convolution
    code = call(cls, arguments).replace("'", '"')
    return f"BlendedAttention({code})" if is_blended(entry, placement.insertion) else code


def _insertion_function(steps: list[_Step], removed: Sequence[str]) -> str:
    """`insert_attention(model)` and what it calls."""
    body: list[str] = []
    if removed:
        body += [
            "    # The backbone's own attention is removed first.",
            "    for path in (",
            *(f'        "{path}",' for path in removed),
            "    ):",
            "        model.set_submodule(path, nn.Identity())",
        ]
    by_lines: dict[tuple[tuple[str, ...], tuple[str, ...]], list[_Step]] = {}
    for step in steps:
        by_lines.setdefault((step.names, step.lines), []).append(step)
    for (names, lines), group in by_lines.items():
        body.append(f"    for {', '.join(names)} in (")
        for step in group:
            shown = ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in step.values)
            body.append(f"        ({shown}),")
        body.append("    ):")
        body += [f"        {line}" for line in lines]
    return "\n".join(
        [
            "def insert_attention(model: nn.Module) -> nn.Module:",
            '    """Insert the attention into the network, in place, and return it."""',
            *body,
            "    return model",
        ]
    )


def _timm_functions(backbone: str, site_map: SiteMap) -> str:
    height, width = site_map.image_size
    return f'''def create_model(pretrained: bool = True, **options: Any) -> nn.Module:
    """The network with attention; `options` are those of `timm.create_model`."""
    return insert_attention(timm.create_model("{backbone}", pretrained=pretrained, **options))


if __name__ == "__main__":
    model = create_model(pretrained=False)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{{count:,}} parameters")
    print(tuple(model.eval()(torch.randn(1, 3, {height}, {width})).shape))'''


def _docstring(
    architecture: Architecture, text: str, placed: list[Placement], *, of_timm: bool
) -> str:
    entries = list(dict.fromkeys(get_attention(p.insertion.attention) for p in placed))
    added = sum(placement.parameters for placement in placed)
    papers = [
        fill(f"{entry.title}. {entry.paper}: {entry.formula}".rstrip(": ")) for entry in entries
    ]
    makes = (
        "`create_model()` makes timm's network with its pretrained weights, then inserts"
        if of_timm
        else "`insert_attention(model)` inserts"
    )
    modules = f"{len(placed)} attention module{'' if len(placed) == 1 else 's'}"
    named = ", ".join(dict.fromkeys(entry.title for entry in entries)) or "no attention"
    about = [
        fill(text),
        *papers,
        fill(
            f"{makes} {modules} with {added:,} parameters by the paths of "
            "modules. The keys of all other weights stay those of the plain network, and all keys "
            "are those of attentune. Load pretrained weights before or after (`strict=False` "
            "after: attention has none). Insert before the network is compiled, converted or "
            "handed to an optimizer, and insert again before weights are loaded in another program."
        ),
        fill(
            f"Printed by `attentune code`; it needs torch{' and timm' if of_timm else ''} only."
            f"{licence_note()}"
        ),
    ]
    return f"{architecture.backbone} with {named}.\n\n" + "\n\n".join(about)
