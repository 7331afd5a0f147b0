"""Write a page for each attention, and a drawing of it, into `docs/attentions/`.

    python benchmarks/attention_pages.py           write all of them
    python benchmarks/attention_pages.py se eca    write these and the overview

Text, formula and options are those of the catalogue; the code is what `attentune code` prints; the
drawing is traced from that code; parameters and multiply-adds are counted; times and gains are
those of committed results.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from attentune.benchmarks.computation_graph import read_graph
from attentune.benchmarks.docs_tables import RESULTS, describe_circumstances
from attentune.benchmarks.graph_drawing import draw_graph
from attentune.benchmarks.interleaved_timing import format_summary
from attentune.benchmarks.markdown_table import format_markdown_table
from attentune.benchmarks.tabular_benchmark import TABLES, TabularBenchmark
from attentune.runners.costs import measure
from attentune.spaces.architecture import Architecture
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.entry import Attention
from attentune.spaces.paste_in.attention_code import MAP_SIZE, SHOWN_CHANNELS, attention_code

FOLDER = Path(__file__).parents[1] / "docs" / "attentions"
BACKBONE = "resnet18"
VARIANT = "float32 channels_last"
KINDS = {
    "channel": ("Channel attention: what to attend to", "A gate for every channel."),
    "spatial": ("Spatial attention: where to attend", "A gate for every location."),
    "mixed": ("Channels and locations", "What to attend to, and where."),
    "global": ("Global attention", "All locations attend to all, or to a summary of all."),
}
DRAWING = (
    "Drawn from the printed code. C channels, a map of H × W, d the hidden width "
    "`max({floor}, C // r)`{groups}. Changes of shape and constants that prevent a division by "
    "zero are left out."
)
INTRODUCTION = """# Attentions

An attention looks at a feature map and multiplies it by a gate, or adds to it. All of them map
(N, C, H, W) to the same shape, so each can stand at any [insertion
point](../guide.md#vocabulary). `attentune attentions` lists them, and `attentune attentions NAME`
shows one.

**Which of them?** No attention is best everywhere: which one helps, in which stage and at which
ratio depends on backbone, data and budget, which is what a search is for. The default search
chooses between `se`, `eca`, `cbam` and `ca`, which cost little. `--attention` adds others. What
gates channels only (`se`, `eca`) costs least. Spatial attention needs maps that are larger than a
few locations. Global attention compares all locations with all, so its cost grows with the square
of the map. Attention of your own is [as simple](../plugins.md) as a module of torch.

The time is that of a training step of the attention alone, forward and backward, for 64 maps of
64×32×32 in float32 on one thread.
"""


def overview() -> str:
    """The page that lists all attentions."""
    lines = [INTRODUCTION]
    for kind, (title, words) in KINDS.items():
        rows = [
            [
                f"[{entry.title}]({entry.name}.md)",
                f"`{entry.name}`",
                "depends on the convolution"
                if entry.needs_convolution
                else f"{entry.parameters(256, _defaults(entry), MAP_SIZE):,}",
                f"{_timings(entry.name)[0]['step']['ms']:.1f} ms",
                entry.paper,
            ]
            for entry in ATTENTIONS.values()
            if entry.kind == kind
        ]
        head = ["attention", "name", "parameters at C = 256", "training step", "paper"]
        lines += [f"## {title}", "", words, "", *format_markdown_table(head, rows)]
    lines.append(f"Times: {describe_circumstances(_attention_results())}")
    return "\n".join(lines) + "\n"


def page(entry: Attention) -> str:
    """The page of one attention."""
    code = attention_code(entry.name)
    about = ast.get_docstring(ast.parse(code)) or ""
    text, start, place = _split_docstring(about)
    groups = ", g groups of channels" if any(o.name == "groups" for o in entry.options) else ""
    lines = [
        f"# {entry.title}",
        "",
        f"`{entry.name}` · {KINDS[entry.kind][0].lower()} · {entry.paper}",
        "",
        "```text",
        entry.formula,
        "```",
        "",
        f"![The steps of {entry.title}](images/{entry.name}.svg)",
        "",
        DRAWING.format(floor=entry.floor, groups=groups),
        "",
        "## What it does",
        "",
        text,
        "",
        "## Where it goes",
        "",
        place,
        "",
        *_section("Options", _option_lines(entry)),
        *_section("Cost", _cost_lines(entry)),
        start,
        "",
        *_section("What was measured", _gain_lines(entry)),
        "## Code",
        "",
        f"`attentune code {entry.name} -o {entry.name}.py` writes this module, which needs torch "
        f"only. `attentune check my_module:MyClass --as {entry.name}` compares an implementation "
        "of yours with it.",
        "",
        '<details markdown="1"><summary>The printed module</summary>',
        "",
        "```python",
        code.rstrip(),
        "```",
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def drawing(entry: Attention) -> str:
    """The SVG image of one attention."""
    return draw_graph(read_graph(entry.name), f"The steps of {entry.title}")


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _split_docstring(about: str) -> tuple[str, str, str]:
    """What the head of printed code says of an attention, of its start, and of its place."""
    paragraphs = about.split("\n\n")
    rest, named = [], {"Before training": "", "Where to put it: ": ""}
    for paragraph in paragraphs:
        for key in named:
            if paragraph.startswith(key):
                named[key] = paragraph.replace("\n", " ").removeprefix("Where to put it: ")
                break
        else:
            if not paragraph.startswith(("Parameters of ", "Printed by ")):
                rest.append(paragraph)
    place = named["Where to put it: "]
    return "\n\n".join(rest), named["Before training"], place[:1].upper() + place[1:]


def _defaults(entry: Attention) -> dict[str, Any]:
    return {option.name: option.default for option in entry.options}


def _option_lines(entry: Attention) -> list[str]:
    rows = [
        [f"`{option.name}`", f"`{option.default}`".lower(), option.legal, option.meaning]
        for option in entry.options
    ]
    example = f"{BACKBONE}+{entry.name}@all.{_position(entry)}"
    return [
        *format_markdown_table(["option", "default", "legal", "meaning"], rows),
        f"In an architecture text: `{example}`.",
    ]


def _position(entry: Attention) -> str:
    return entry.positions[0] if entry.positions else "residual"


def _cost_lines(entry: Attention) -> Iterator[str]:
    yield from _parameter_lines(entry)
    bare, network = _costs(BACKBONE), _costs(f"{BACKBONE}+{entry.name}@all.{_position(entry)}")
    added = network["params"] - bare["params"]
    yield ""
    yield (
        f"In every block of `{BACKBONE}`, at `{_position(entry)}`: {network['params']:,} "
        f"parameters ({added:+,}, {added / bare['params']:+.2%}) and {network['macs'] / 1e9:.3f} G "
        f"multiply-adds at 224×224 ({network['macs'] / bare['macs'] - 1:+.2%})."
    )
    yield ""
    rows = []
    for row in _timings(entry.name):
        step = row["step"]
        timm = format_summary(step["timm / ours"]) if "timm / ours" in step else "–"
        shape = "×".join(map(str, row["map"]))
        rows.append([shape, f"{step['ms']:.2f} ms", format_summary(step["plain / ours"]), timm])
    yield from format_markdown_table(
        ["map (N×C×H×W)", "training step", "printed code / attentune", "timm / attentune"], rows
    )
    yield (
        f"The attention alone, forward and backward, {VARIANT.replace('_', ' ')}; ratios of "
        f"times, median (quartiles). {describe_circumstances(_attention_results())}"
    )


def _parameter_lines(entry: Attention) -> list[str]:
    options = _defaults(entry)
    starts = {"paper": options} | (
        {} if entry.starts_as_identity else {"identity": options | {"start": "identity"}}
    )
    if entry.needs_convolution:
        return ["Its parameters depend on the convolution whose place it takes, which it repeats."]
    rows = [
        [f"start={start}", *(f"{entry.parameters(c, o, MAP_SIZE):,}" for c in SHOWN_CHANNELS)]
        for start, o in starts.items()
    ]
    head = ["parameters", *(f"C = {channels}" for channels in SHOWN_CHANNELS)]
    return format_markdown_table(head, rows)[:-1]


@cache
def _costs(architecture: str) -> dict[str, int]:
    costs = measure(architecture, latency=False).costs
    return {"params": costs.params, "macs": costs.macs}


@cache
def _attention_results() -> Any:
    return json.loads((RESULTS / "attention.json").read_text("utf-8"))


def _timings(name: str) -> list[Any]:
    """The rows of an attention for the maps of ResNet-18."""
    return [
        row
        for row in _attention_results()["rows"]
        if (row["attention"], row["variant"], row["backbone"]) == (name, VARIANT, BACKBONE)
    ]


def _gain_lines(entry: Attention) -> list[str]:
    tables = [table for table in map(_read_table, TABLES) if entry.name in table.space.attentions]
    if not tables:
        return [
            "No committed table holds it yet. A search compares it with others on your data:",
            "",
            "```",
            "attentune search mine --backbone resnet18 --data photos \\",
            f"    --attention none --attention se --attention {entry.name}",
            "```",
        ]
    rows = []
    for table in tables:
        gains = [stage_gain(table, entry.name, stage) for stage in table.space.stages]
        cells = [f"{mean:+.1f} ± {error:.1f}" for mean, error in gains]
        rows.append([f"`{table.name}`", table.seeds, *cells])
    stages = [f"stage {stage}, points" for stage in tables[0].space.stages]
    return [
        "Three small spaces were trained completely, with several seeds: every one of the first "
        "three stages of `resnet6_050` has one of four attentions, or none ([the "
        f"tables](../search.md#the-tables)). The gain of `{entry.name}` in a stage is the accuracy "
        "with it minus that without any there, as a mean over all choices for the other two "
        "stages, ± the standard error over the seeds:",
        "",
        *format_markdown_table(["table", "seeds", *stages], rows),
        "Two tasks are digits of 36 pixels, the third is CIFAR-10, photographs of 32 pixels. This "
        "is one small backbone, trained for 8 epochs. It says how much such gains differ from "
        "stage to stage and from task to task, and little about your data.",
    ]


@cache
def _read_table(path: Path) -> TabularBenchmark:
    return TabularBenchmark(path)


def stage_gain(table: TabularBenchmark, attention: str, stage: int) -> tuple[float, float]:
    """What an attention adds in a stage, in points, and its standard error over the seeds.

    Args:
        table: all architectures of a space with a choice for every stage.
        attention: its name.
        stage: counted from 1.
    """
    by_choice: dict[tuple[tuple[int, str], ...], Any] = {}
    for text in table.ranked:
        choice = tuple(
            (number, insertion.attention)
            for number in table.space.stages
            for insertion in Architecture.parse(text).insertions
            if any(place.covers(number, 1) for place in insertion.places)
        )
        by_choice[choice] = table.rows[text].accuracy[:, -1]
    differences = []
    for choice, accuracy in by_choice.items():
        if (stage, attention) in choice:
            without = tuple(pair for pair in choice if pair[0] != stage)
            differences.append(100 * (accuracy - by_choice[without]))
    by_seed = [statistics.mean(values) for values in zip(*differences, strict=True)]
    return statistics.mean(by_seed), statistics.stdev(by_seed) / len(by_seed) ** 0.5


def write_pages(names: Iterable[str], folder: Path) -> None:
    """Write the overview, and the pages and drawings of these attentions."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "index.md").write_text(overview(), "utf-8")
    for name in names:
        (folder / f"{name}.md").write_text(page(ATTENTIONS[name]), "utf-8")
        (folder / "images" / f"{name}.svg").write_text(drawing(ATTENTIONS[name]), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="attentions; all if there is none")
    write_pages(parser.parse_args().names or ATTENTIONS, FOLDER)


if __name__ == "__main__":
    main()
