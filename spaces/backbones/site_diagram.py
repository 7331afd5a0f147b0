"""Draw a site map in plain text: stages, blocks, and the sites for attention in them.

    resnet18 on images of 224×224: 4 stages, 8 blocks

    block      C    H×W  pre    mid  residual  identity  post  stage
    s1 layer1
      b1-b2   64  56×56  ●      ●    ●         ●         ●     ●
    s2 layer2
      b1     128  28×28  ● 64↑  ●    ●         ●         ●
      b2     128  28×28  ●      ●    ●         ●         ●     ●

Positions are listed in the order of the forward pass. Equal blocks of a stage share a line, even
with other blocks between them. In a stage with many kinds of blocks, those that differ in numbers
only share a line too, so that a hundred blocks fit on one screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill

from .sites import Site, SiteMap

_POSITIONS_IN_ORDER = ("pre", "mid", "residual", "identity", "post", "stage")
_MAX_COLUMNS = 80
_MAX_LINES_PER_STAGE = 5

Row = tuple[str, ...]


def draw_sites(site_map: SiteMap) -> str:
    """The drawing, with lines of at most 80 columns for all but the widest backbones."""
    if not site_map.sites:
        return "\n".join((_module_note(site_map), "", *_module_lines(site_map)))
    blocks = [(stage, block) for stage, n in site_map.blocks.items() for block in range(1, n + 1)]
    size = "×".join(map(str, site_map.image_size))
    title = (
        f"{site_map.backbone} on images of {size}: {_pluralise(len(site_map.blocks), 'stage')}, "
        f"{_pluralise(len(blocks), 'block')}"
    )
    lines = [title, ""]
    names = _stage_names(site_map)
    rows = {stage: list(_rows(site_map, stage)) for stage in site_map.blocks}
    positions = [p for p in _POSITIONS_IN_ORDER if p in site_map.positions]
    own_header = ["own"] * bool(site_map.own_attention)
    header: Row = ("block", "C", "H×W", *positions, *own_header)
    widths = _column_widths([header, *(row for stage in rows.values() for row in stage)])
    lines.append(_format_row(header, widths))
    for stage, name in names.items():
        lines.append(f"s{stage} {name}")
        lines += [_format_row(row, widths) for row in rows[stage]]
    note = ["", _module_note(site_map)] if site_map.module_sites else []
    return "\n".join([*lines, "", *_legend(site_map, lines), *note])


def _module_note(site_map: SiteMap) -> str:
    """How to name modules by their paths."""
    modules = dict.fromkeys(site.module for site in site_map.module_sites)
    stages = "no stages and blocks; " if not site_map.sites else ""
    return fill(
        f"{site_map.backbone} has {stages}{_pluralise(len(modules), 'module')} that attention can "
        f"follow (post) or precede (pre), named by its path: @{{{list(modules)[-1]}}}.post; --json "
        "lists them",
        _MAX_COLUMNS,
    )


def _module_lines(site_map: SiteMap) -> list[str]:
    """A line for the output of each module."""
    outputs = [site for site in site_map.module_sites if site.position == "post"]
    rows = [(s.module, str(s.channels), f"{s.height}×{s.width}") for s in outputs]
    header = ("module", "C", "H×W")
    widths = _column_widths([header, *rows])
    return [_format_row(row, widths) for row in (header, *rows)]


def _pluralise(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _stage_names(site_map: SiteMap) -> dict[int, str]:
    """By stage, the path of the module around its blocks; of its blocks if stages share it."""
    paths = {
        stage: [site_map.block_path(stage, block) for block in range(1, number + 1)]
        for stage, number in site_map.blocks.items()
    }
    modules = {stage: _common_parent(blocks) for stage, blocks in paths.items()}
    shared = len(set(modules.values())) < len(modules) or not all(modules.values())
    ends = {stage: dict.fromkeys((blocks[0], blocks[-1])) for stage, blocks in paths.items()}
    return {stage: " to ".join(ends[stage]) if shared else modules[stage] for stage in paths}


def _common_parent(paths: Sequence[str]) -> str:
    """The innermost module around all these paths; empty if there is none."""
    names = [path.split(".")[:-1] for path in paths]
    common = []
    for level in zip(*names, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return ".".join(common)


def _rows(site_map: SiteMap, stage: int) -> Iterator[Row]:
    """One row for all blocks of a stage with equal cells."""
    sites: dict[int, dict[str, Site]] = {}
    for site in site_map.sites:
        if site.stage == stage:
            sites.setdefault(site.block, {})[site.position] = site
    blocks_by_row: dict[Row, list[int]] = {}
    for block, points in sites.items():
        blocks_by_row.setdefault(_block_row(site_map, stage, block, points), []).append(block)
    if len(blocks_by_row) > _MAX_LINES_PER_STAGE:
        blocks_by_row = _merge_rows(blocks_by_row)
    end = next((points["stage"] for points in sites.values() if "stage" in points), None)
    column = (
        2 + [p for p in _POSITIONS_IN_ORDER if p in site_map.positions].index("stage") if end else 0
    )
    for cells, blocks in blocks_by_row.items():
        row = list(cells)
        if end and end.block in blocks:
            row[column] = _symbol(end, sites[end.block].get("post", end))
        yield ("  " + _format_blocks(blocks), *row)


def _merge_rows(blocks_by_row: dict[Row, list[int]]) -> dict[Row, list[int]]:
    """Merge rows that differ in numbers only: DenseNet's layers receive 64…224 channels."""
    groups: dict[str, list[Row]] = {}
    for row in blocks_by_row:
        groups.setdefault(re.sub(r"\d+", "#", "|".join(row)), []).append(row)
    return {
        tuple(map(_number_range, rows[0], rows[-1])): sorted(
            block for row in rows for block in blocks_by_row[row]
        )
        for rows in groups.values()
    }


def _number_range(first: str, last: str) -> str:
    """Two cells as one: `● 64…224`."""
    if first == last or "×" in first:
        return first
    return re.sub(r"\d+", lambda number: f"{number[0]}…{re.sub('[^0-9]', '', last)}", first)


def _block_row(site_map: SiteMap, stage: int, block: int, points: dict[str, Site]) -> Row:
    output = points.get("post") or list(points.values())[-1]
    symbols = [
        _symbol(points[position], output) if position in points and position != "stage" else ""
        for position in _POSITIONS_IN_ORDER
        if position in site_map.positions
    ]
    own = [o.module for o in site_map.own_attention if (o.stage, o.block) == (stage, block)]
    name = [own[0].rpartition(".")[2] if own else ""] * bool(site_map.own_attention)
    return (str(output.channels), f"{output.height}×{output.width}", *symbols, *name)


def _symbol(site: Site, output: Site) -> str:
    number = "" if site.channels == output.channels else f" {site.channels}"
    larger = "↑" if site.height > output.height else ""
    return f"{'○' if site.degenerate else '●'}{number}{larger}"


def _format_blocks(blocks: Sequence[int]) -> str:
    """`b1-b3`, `b1,b4` or, where that gets long, `b1…b16 (×6)`."""
    runs: list[list[int]] = []
    for block in blocks:
        if runs and runs[-1][1] == block - 1:
            runs[-1][1] = block
        else:
            runs.append([block, block])
    text = ",".join(f"b{a}" if a == b else f"b{a}-b{b}" for a, b in runs)
    return text if len(text) <= 9 else f"b{blocks[0]}…b{blocks[-1]} (×{len(blocks)})"


def _column_widths(rows: Iterable[Row]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _format_row(row: Row, widths: Sequence[int]) -> str:
    gap = "  " if sum(widths) + 2 * len(widths) <= _MAX_COLUMNS else " "
    cells = [
        cell.rjust(width) if column in (1, 2) else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return gap.join(cells).rstrip()


def _legend(site_map: SiteMap, lines: Sequence[str]) -> Iterator[str]:
    drawing = "\n".join(lines)
    yield "● a site for attention; a number gives its channels where they differ from C"
    if "↑" in drawing:
        yield "↑ before the stride, where the map is larger"
    if "○" in drawing:
        yield "○ a 1×1 map, where spatial attention has no effect"
    if site_map.stem_strides:
        yield fill(
            f"The stem shrinks the image at {', '.join(site_map.stem_strides)}.", _MAX_COLUMNS
        )
    if own_attention := site_map.own_attention:
        outside = sum(not own.block for own in own_attention)
        outside_note = f", {outside} outside the blocks" if outside else ""
        name, stages = site_map.backbone, [own.stage for own in own_attention if own.stage]
        yield (
            f"own: the backbone's own attention, {_pluralise(len(own_attention), 'module')}"
            f"{outside_note};\n"
            f"     {name}(attention=none) removes it."
        )
        if stages:
            yield f"     {name}(attention=none@s{stages[0]}) removes that of s{stages[0]}."
