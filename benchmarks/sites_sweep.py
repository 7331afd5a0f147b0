"""List which timm backbones have sites for attention, and check insertion there.

    python benchmarks/sites_sweep.py                       all names, or those still missing
    python benchmarks/sites_sweep.py --only 'resnet*'      some of them

One line per name is appended to `results/sites_sweep.tsv`, so that a sweep continues where it was
stopped; `results/sites_sweep.json` is the summary, with the machine and versions. With other
versions, or another `discover.VERSION`, a sweep starts again from the beginning.

Checks for each backbone with sites, at its own image size:

    formula     SE (r = 2, with biases) at all positions at once, on torch's meta device: the number
                of parameters grows by the catalogue's formula, and all keys remain
    run         ECA with an identity start at all positions at once, run on images of `IMAGE_SIZE`
                pixels or, if the backbone does not accept these, of its own size: each attention is
                called once, on a map of its site's shape, and the output equals that of the plain
                network bit for bit. Not for networks of more than 100 M parameters
    stripped    the backbone's own attention is removed with all its parameters, and the rest runs
    small       the small stem works: size of the last map of images of 64 pixels
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import json
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch
from attentune.errors import AttentuneError
from attentune.spaces.architecture import POSITIONS, Architecture, Insertion
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.backbones import discover, trace_sites
from attentune.spaces.backbones.sites import SiteMap
from attentune.spaces.backbones.timm_compat import backbone_names, import_timm, native_size
from attentune.spaces.networks.build import build_network
from attentune.spaces.networks.placement import placements
from torch import nn

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("name", "size", "params", "blocks", *POSITIONS, "own"),
    *("formula", "run", "stripped", "small", "seconds", "refused"),
)
IMAGE_SIZE = 96
MAX_PARAMETERS = 100_000_000

Row = dict[str, Any]


def examine(name: str) -> Row:
    """Check one backbone; returns its line of the table."""
    start = time.perf_counter()
    row: Row = {"name": name, "size": native_size(name)}
    try:
        sites = discover.find_sites(name, image_size=row["size"])
    except AttentuneError as error:
        row["refused"] = str(error).partition(": ")[2] or str(error)
    except Exception as error:
        row["refused"] = f"crashed: {type(error).__name__}: {error}"[:160]
    else:
        row["seconds"] = round(time.perf_counter() - start, 2)
        row |= count_sites(sites)
        row["formula"] = run_check(lambda: check_formula(sites, row))
        row["run"] = run_check(lambda: check_run(name, row))
        row["stripped"] = run_check(lambda: check_stripped(sites))
        row["small"] = run_check(lambda: check_small(name))
    return {"seconds": round(time.perf_counter() - start, 2), **row}


def count_sites(sites: SiteMap) -> Row:
    numbers = Counter(site.position for site in sites.sites)
    return {
        "blocks": "+".join(map(str, sites.blocks.values())),
        "own": len(sites.own_attention),
        **{position: numbers[position] for position in POSITIONS},
    }


def run_check(check: Callable[[], str]) -> str:
    try:
        return check()
    except AttentuneError as error:  # A refusal with its reason.
        text = str(error).partition("\n")[0]
        return f"no: {text.partition(': ')[2] or text}"[:100]
    except Exception as error:  # Such failures are what the sweep looks for.
        first_line = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first_line}"[:160]


def insert_everywhere(sites: SiteMap, name: str, **options: Any) -> Architecture:
    insertions = [Insertion.of(name, position, **options) for position in sites.positions]
    return Architecture(sites.backbone, tuple(insertions))


def check_formula(sites: SiteMap, row: Row) -> str:
    narrowest = min(site.channels for site in sites.sites)
    architecture = insert_everywhere(sites, "se", r=min(2, narrowest), bias=True)
    with torch.device("meta"):
        plain = build(Architecture(sites.backbone), row["size"])
        extended = build(architecture, row["size"])
    row["params"] = count_parameters(plain)
    formula = get_attention("se").parameters
    expected = sum(
        formula(f.site.channels, f.insertion.settings, (f.site.height, f.site.width))
        for f in placements(architecture, sites)
    )
    if count_parameters(extended) - count_parameters(plain) != expected:
        return f"grew by {count_parameters(extended) - count_parameters(plain)}, not {expected}"
    lost = set(plain.state_dict()) - set(extended.state_dict())
    return f"lost {min(lost)}" if lost else "ok"


def check_run(name: str, row: Row) -> str:
    if row["params"] > MAX_PARAMETERS:
        return "-"
    for size in dict.fromkeys((IMAGE_SIZE, row["size"])):
        try:
            sites = discover.find_sites(name, image_size=size)
        except AttentuneError:
            continue
        break
    plain = build(Architecture(name), size)
    architecture = insert_everywhere(sites, "eca", start="identity")
    hooked = build(architecture, size)
    shapes = record_input_shapes(hooked)
    generator = torch.Generator().manual_seed(0)
    channels = getattr(plain, "in_chans", None) or 3
    x = torch.randn(1, channels, size, size, generator=generator)
    with torch.no_grad():
        expected, output = plain(x), hooked(x)
    sites_used = [placement.site for placement in placements(architecture, sites)]
    if sorted(shapes) != sorted((site.channels, site.height, site.width) for site in sites_used):
        return "not once each on a map of its shape"
    if not torch.allclose(output, expected, rtol=0, atol=0, equal_nan=True):
        return f"output off by {(output - expected).abs().max().item():.1e}"
    return f"ok {size}"


def record_input_shapes(model: nn.Module) -> list[tuple[int, ...]]:
    """A list to which each attention will append the shape (C, H, W) of its input."""
    shapes: list[tuple[int, ...]] = []
    kind: Any = get_attention("eca").load()
    for module in model.modules():
        if isinstance(module, kind):
            module.register_forward_pre_hook(
                lambda _, args: shapes.append(tuple(args[0].shape[1:]))
            )
    return shapes


def check_stripped(sites: SiteMap) -> str:
    if not sites.own_attention:
        return "-"
    name, size = sites.backbone, sites.image_size[0]
    assert discover.find_sites(name, image_size=size).stripped_sites, "does not run without it"
    with torch.device("meta"):
        full, bare = build(Architecture(name), size), build(Architecture(name), size)
    removed = sum(count_parameters(full.get_submodule(own.module)) for own in sites.own_attention)
    trace_sites.remove_own_attention(bare, [own.module for own in sites.own_attention])
    return (
        f"{removed}"
        if count_parameters(full) - count_parameters(bare) == removed
        else "other parameters went too"
    )


def check_small(name: str) -> str:
    last = discover.find_sites(name, image_size=64, stem="small").sites[-1]
    return f"{last.height}x{last.width}"


def build(architecture: Architecture, size: int) -> nn.Module:
    return build_network(architecture, num_classes=10, image_size=size, seed=0).eval()


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def describe_versions() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": import_timm().__version__,
        "finder": discover.VERSION,
    }


IS_PASSED: dict[str, Callable[[str], bool]] = {
    "formula": lambda text: text == "ok",
    "run": lambda text: text.startswith("ok"),
    "stripped": str.isdecimal,
    "small": lambda text: text[:1].isdecimal(),
}


def summarise(rows: list[Row]) -> dict[str, Any]:
    with_sites = [row for row in rows if not row["refused"]]
    return {
        "names": len(rows),
        "with_sites": len(with_sites),
        "by_position": {
            position: sum(int(row[position] or 0) > 0 for row in with_sites)
            for position in POSITIONS
        },
        "with_own_attention": sum(int(row["own"] or 0) > 0 for row in with_sites),
        "refused": dict(Counter(row["refused"] for row in rows if row["refused"]).most_common()),
        **{check: count_outcomes(check, with_sites) for check in IS_PASSED},
        "seconds": round(sum(float(row["seconds"]) for row in rows)),
    }


def count_outcomes(check: str, rows: list[Row]) -> dict[str, Any]:
    """How many rows pass a check, and the messages of the others with their first backbone."""
    failed = {row["name"]: row[check] for row in rows if not IS_PASSED[check](row[check])}
    texts = Counter(text for text in failed.values() if text != "-")
    first = {text: name for name, text in reversed(failed.items())}
    return {
        "good": len(rows) - len(failed),
        "left_out": sum(text == "-" for text in failed.values()),
        "others": {text: f"{number} (as {first[text]})" for text, number in texts.most_common()},
    }


def read_rows(table: Path) -> list[Row]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--only", default="*", help="names to sweep, with * and ?")
    options.add_argument("--again", action="store_true", help="check these names again")
    options.add_argument("--tsv", type=Path, default=RESULTS / "sites_sweep.tsv")
    options.add_argument("--json", type=Path, default=RESULTS / "sites_sweep.json")
    args = options.parse_args()
    torch.set_num_threads(1)
    versions = describe_versions()
    names = fnmatch.filter(backbone_names(), args.only)
    rows: dict[str, Row] = {}
    if args.tsv.exists() and args.json.exists():
        before = json.loads(args.json.read_text())["circumstances"]
        if {key: before.get(key) for key in versions} == versions:
            rows = {row["name"]: row for row in read_rows(args.tsv)}
    if args.again:
        rows = {name: row for name, row in rows.items() if name not in names}
    args.tsv.parent.mkdir(parents=True, exist_ok=True)
    write_summary(args.json, versions, list(rows.values()))
    with args.tsv.open("w", newline="") as file:
        table = make_writer(file)
        table.writerows(rows.values())
        for name in names:
            if name not in rows:
                rows[name] = dict.fromkeys(COLUMNS, "") | examine(name)
                table.writerow(rows[name])
                file.flush()
                print(*rows[name].values(), sep="  ", flush=True)
    rows = dict(sorted(rows.items()))
    with args.tsv.open("w", newline="") as file:
        make_writer(file).writerows(rows.values())
    write_summary(args.json, versions, read_rows(args.tsv))


def make_writer(file: TextIO) -> csv.DictWriter[str]:
    table = csv.DictWriter(file, COLUMNS, delimiter="\t", restval="", lineterminator="\n")
    table.writeheader()
    return table


def write_summary(path: Path, versions: dict[str, Any], rows: list[Row]) -> None:
    machine = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }
    content = {"circumstances": {**versions, **machine}, **summarise(rows)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:  # An empty cache has no results of earlier runs.
        os.environ["ATTENTUNE_CACHE"] = cache
        main()
