"""A site map as a drawing in plain text: stages, blocks, and the places for attention in them.

    resnet18 on pictures of 224×224: 4 stages, 8 blocks

    block      C    H×W  pre    mid  residual  identity  post  stage
    s1 layer1
      b1-b2   64  56×56  ●      ●    ●         ●         ●     ●
    s2 layer2
      b1     128  28×28  ● 64↑  ●    ●         ●         ●
      b2     128  28×28  ●      ●    ●         ●         ●     ●

Positions stand in the order in which the map passes them. Equal blocks of a stage share a line,
even with others between them, and so do blocks of one kind in a stage of many kinds: a hundred
blocks need one screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill

from .sites import Site, SiteMap

_IN_PASSING = ("pre", "mid", "residual", "identity", "post", "stage")
_WIDTH = 80
_MOST_LINES = 5  # of one stage

Row = tuple[str, ...]


def draw_sites(site_map: SiteMap) -> str:
    """The drawing, at most 80 columns wide for all but the widest of backbones."""
    blocks = [(stage, block) for stage, n in site_map.blocks.items() for block in range(1, n + 1)]
    size = "×".join(map(str, site_map.image_size))
    title = (
        f"{site_map.backbone} on pictures of {size}: {_count(len(site_map.blocks), 'stage')}, "
        f"{_count(len(blocks), 'block')}"
    )
    lines = [title, ""]
    names = _stage_names(site_map)
    rows = {stage: list(_rows(site_map, stage)) for stage in site_map.blocks}
    here = [p for p in _IN_PASSING if p in site_map.positions]
    own = ["own"] * bool(site_map.own_attention)
    header: Row = ("block", "C", "H×W", *here, *own)
    widths = _widths([header, *(row for stage in rows.values() for row in stage)])
    lines.append(_line(header, widths))
    for stage, name in names.items():
        lines.append(f"s{stage} {name}")
        lines += [_line(row, widths) for row in rows[stage]]
    return "\n".join([*lines, "", *_legend(site_map, lines)])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _stage_names(site_map: SiteMap) -> dict[int, str]:
    """For every stage the module around its blocks or, if that is no stage's alone, its blocks."""
    paths = {
        stage: [site_map.block_path(stage, block) for block in range(1, number + 1)]
        for stage, number in site_map.blocks.items()
    }
    around = {stage: _around(blocks) for stage, blocks in paths.items()}
    shared = len(set(around.values())) < len(around) or not all(around.values())
    ends = {stage: dict.fromkeys((blocks[0], blocks[-1])) for stage, blocks in paths.items()}
    return {stage: " to ".join(ends[stage]) if shared else around[stage] for stage in paths}


def _around(paths: Sequence[str]) -> str:
    names = [path.split(".")[:-1] for path in paths]
    common = []
    for level in zip(*names, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return ".".join(common)


def _rows(site_map: SiteMap, stage: int) -> Iterator[Row]:
    """One line for all blocks of a stage that look the same."""
    sites: dict[int, dict[str, Site]] = {}
    for site in site_map.sites:
        if site.stage == stage:
            sites.setdefault(site.block, {})[site.position] = site
    alike: dict[Row, list[int]] = {}
    for block, points in sites.items():
        alike.setdefault(_look(site_map, stage, block, points), []).append(block)
    if len(alike) > _MOST_LINES:
        alike = _in_ranges(alike)
    end = next((points["stage"] for points in sites.values() if "stage" in points), None)
    column = 2 + [p for p in _IN_PASSING if p in site_map.positions].index("stage") if end else 0
    for look, blocks in alike.items():
        row = list(look)
        if end and end.block in blocks:
            row[column] = _sign(end, sites[end.block].get("post", end))
        yield ("  " + _ranges(blocks), *row)


def _in_ranges(alike: dict[Row, list[int]]) -> dict[Row, list[int]]:
    """Lines that differ in numbers only, as one: DenseNet's layers see 64…224 channels."""
    groups: dict[str, list[Row]] = {}
    for look in alike:
        groups.setdefault(re.sub(r"\d+", "#", "|".join(look)), []).append(look)
    return {
        tuple(map(_span, looks[0], looks[-1])): sorted(b for look in looks for b in alike[look])
        for looks in groups.values()
    }


def _span(first: str, last: str) -> str:
    if first == last or "×" in first:
        return first
    return re.sub(r"\d+", lambda number: f"{number[0]}…{re.sub('[^0-9]', '', last)}", first)


def _look(site_map: SiteMap, stage: int, block: int, points: dict[str, Site]) -> Row:
    usual = points.get("post") or list(points.values())[-1]
    signs = [
        _sign(points[position], usual) if position in points and position != "stage" else ""
        for position in _IN_PASSING
        if position in site_map.positions
    ]
    block_path = site_map.block_path(stage, block)
    own = [path for path in site_map.own_attention if _inside(path, block_path)]
    last = [own[0].rpartition(".")[2] if own else ""] * bool(site_map.own_attention)
    return (str(usual.channels), f"{usual.height}×{usual.width}", *signs, *last)


def _sign(site: Site, usual: Site) -> str:
    number = "" if site.channels == usual.channels else f" {site.channels}"
    larger = "↑" if site.height > usual.height else ""
    return f"{'○' if site.degenerate else '●'}{number}{larger}"


def _inside(path: str, module: str) -> bool:
    return path == module or path.startswith(f"{module}.")


def _ranges(blocks: Sequence[int]) -> str:
    """`b1-b3`, `b1,b4` or, where that gets long, `b1…b16 (×6)`."""
    runs: list[list[int]] = []
    for block in blocks:
        if runs and runs[-1][1] == block - 1:
            runs[-1][1] = block
        else:
            runs.append([block, block])
    text = ",".join(f"b{a}" if a == b else f"b{a}-b{b}" for a, b in runs)
    return text if len(text) <= 9 else f"b{blocks[0]}…b{blocks[-1]} (×{len(blocks)})"


def _widths(rows: Iterable[Row]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _line(row: Row, widths: Sequence[int]) -> str:
    gap = "  " if sum(widths) + 2 * len(widths) <= _WIDTH else " "
    cells = [
        cell.rjust(width) if column in (1, 2) else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return gap.join(cells).rstrip()


def _legend(site_map: SiteMap, lines: Sequence[str]) -> Iterator[str]:
    drawn = "\n".join(lines)
    yield "● a place for attention; a number is its channels, where they are not C"
    if "↑" in drawn:
        yield "↑ before the stride: a larger map"
    if "○" in drawn:
        yield "○ a 1×1 map, where spatial attention means nothing"
    if site_map.stem_strides:
        yield fill(f"The stem shrinks the picture at {', '.join(site_map.stem_strides)}.", _WIDTH)
    if own := site_map.own_attention:
        blocks = site_map.block_paths
        others = [path for path in own if not any(_inside(path, block) for block in blocks)]
        also = f", {len(others)} outside the blocks" if others else ""
        yield (
            f"own: the backbone's own attention, {_count(len(own), 'module')}{also};\n"
            f"     {site_map.backbone}(attention=none) removes it."
        )
