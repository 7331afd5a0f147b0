"""Every backbone that timm knows: where it takes an attention, and whether that is built right.

    python benchmarks/sites_sweep.py                       all names, or those still missing
    python benchmarks/sites_sweep.py --only 'resnet*'      some

For every name one line is appended to `results/sites_sweep.tsv`, so that the sweep goes on where it
was stopped; `results/sites_sweep.json` is the summary, with the machine and the versions. A sweep
with other versions, or with another `discover.VERSION`, starts anew.

What is checked of a backbone that offers sites, at its own size of pictures:

    formula     SE (r = 2, with biases) at every position at once, on torch's meta device: the
                network grows by exactly the catalogue's formula, and keeps all its keys
    run         ECA with an identity start at every position at once, really run on pictures of
                `SIZE` pixels or, if it does not take those, of its own size: every attention is
                called once, on a map of its site's shape, and the output is that of the plain
                network, bit for bit. Not for networks of more than 100 M parameters
    stripped    the backbone's own attention goes with all its parameters, and the rest runs
    small       the small stem can be had: the last map of pictures of 64 pixels with it
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
from attentune.spaces.attentions.registry import attention
from attentune.spaces.backbones import discover
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
SIZE = 96
MOST_PARAMETERS = 100_000_000

Row = dict[str, Any]


def examine(name: str) -> Row:
    """One line of the table."""
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
        row |= describe(sites)
        row["formula"] = outcome(lambda: check_formula(sites, row))
        row["run"] = outcome(lambda: check_run(name, row))
        row["stripped"] = outcome(lambda: check_stripped(sites))
        row["small"] = outcome(lambda: check_small(name))
    return {"seconds": round(time.perf_counter() - start, 2), **row}


def describe(sites: SiteMap) -> Row:
    numbers = Counter(site.position for site in sites.sites)
    return {
        "blocks": "+".join(map(str, sites.blocks.values())),
        "own": len(sites.own_attention),
        **{position: numbers[position] for position in POSITIONS},
    }


def outcome(check: Callable[[], str]) -> str:
    try:
        return check()
    except AttentuneError as error:  # a refusal: the reason alone, or all of it
        text = str(error).partition("\n")[0]
        return f"no: {text.partition(': ')[2] or text}"[:100]
    except Exception as error:  # what the table is for
        first_line = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first_line}"[:160]


def everywhere(sites: SiteMap, name: str, **options: Any) -> Architecture:
    insertions = [Insertion.of(name, position, **options) for position in sites.positions]
    return Architecture(sites.backbone, tuple(insertions))


def check_formula(sites: SiteMap, row: Row) -> str:
    narrow = min(site.channels for site in sites.sites)
    architecture = everywhere(sites, "se", r=min(2, narrow), bias=True)
    with torch.device("meta"):
        plain = make(Architecture(sites.backbone), row["size"])
        grown = make(architecture, row["size"])
    row["params"] = count(plain)
    formula = attention("se").parameters
    expected = sum(
        formula(f.site.channels, f.insertion.settings, (f.site.height, f.site.width))
        for f in placements(architecture, sites)
    )
    if count(grown) - count(plain) != expected:
        return f"grew by {count(grown) - count(plain)}, not {expected}"
    lost = set(plain.state_dict()) - set(grown.state_dict())
    return f"lost {min(lost)}" if lost else "ok"


def check_run(name: str, row: Row) -> str:
    if row["params"] > MOST_PARAMETERS:
        return "-"
    for size in dict.fromkeys((SIZE, row["size"])):
        try:
            sites = discover.find_sites(name, image_size=size)
        except AttentuneError:
            continue
        break
    plain = make(Architecture(name), size)
    architecture = everywhere(sites, "eca", start="identity")
    hooked = make(architecture, size)
    seen = record_input_shapes(hooked)
    generator = torch.Generator().manual_seed(0)
    channels = getattr(plain, "in_chans", None) or 3
    x = torch.randn(1, channels, size, size, generator=generator)
    with torch.no_grad():
        expected, got = plain(x), hooked(x)
    places = [placement.site for placement in placements(architecture, sites)]
    if sorted(seen) != sorted((site.channels, site.height, site.width) for site in places):
        return "not once each on a map of its shape"
    if not torch.allclose(got, expected, rtol=0, atol=0, equal_nan=True):
        return f"output off by {(got - expected).abs().max().item():.1e}"
    return f"ok {size}"


def record_input_shapes(model: nn.Module) -> list[tuple[int, ...]]:
    """The shapes (C, H, W) on which the model's attentions will be called."""
    seen: list[tuple[int, ...]] = []
    kind: Any = attention("eca").load()
    for module in model.modules():
        if isinstance(module, kind):
            module.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[1:])))
    return seen


def check_stripped(sites: SiteMap) -> str:
    if not sites.own_attention:
        return "-"
    name, size = sites.backbone, sites.image_size[0]
    discover.find_sites(name, image_size=size, strip_attention=True)
    with torch.device("meta"):
        full, bare = make(Architecture(name), size), make(Architecture(name), size)
    own = sum(count(full.get_submodule(path)) for path in sites.own_attention)
    discover.strip_own_attention(bare, sites.own_attention)
    return f"{own}" if count(full) - count(bare) == own else "other parameters went too"


def check_small(name: str) -> str:
    last = discover.find_sites(name, image_size=64, stem="small").sites[-1]
    return f"{last.height}x{last.width}"


def make(architecture: Architecture, size: int) -> nn.Module:
    return build_network(architecture, num_classes=10, image_size=size, seed=0).eval()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def circumstances() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": import_timm().__version__,
        "finder": discover.VERSION,
    }


GOOD: dict[str, Callable[[str], bool]] = {
    "formula": lambda text: text == "ok",
    "run": lambda text: text.startswith("ok"),
    "stripped": str.isdecimal,
    "small": lambda text: text[:1].isdecimal(),
}


def summary(rows: list[Row]) -> dict[str, Any]:
    offered = [row for row in rows if not row["refused"]]
    return {
        "names": len(rows),
        "with_sites": len(offered),
        "by_position": {
            position: sum(int(row[position] or 0) > 0 for row in offered) for position in POSITIONS
        },
        "with_own_attention": sum(int(row["own"] or 0) > 0 for row in offered),
        "refused": dict(Counter(row["refused"] for row in rows if row["refused"]).most_common()),
        **{check: tally(check, offered) for check in GOOD},
        "seconds": round(sum(float(row["seconds"]) for row in rows)),
    }


def tally(check: str, rows: list[Row]) -> dict[str, Any]:
    """How many rows pass a check; of the others, what they say and who says it first."""
    others = {row["name"]: row[check] for row in rows if not GOOD[check](row[check])}
    texts = Counter(text for text in others.values() if text != "-")
    first = {text: name for name, text in reversed(others.items())}
    return {
        "good": len(rows) - len(others),
        "left_out": sum(text == "-" for text in others.values()),
        "others": {text: f"{number} (as {first[text]})" for text, number in texts.most_common()},
    }


def read(table: Path) -> list[Row]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--only", default="*", help="names to sweep, with * and ?")
    options.add_argument("--again", action="store_true", help="forget the lines of these names")
    options.add_argument("--tsv", type=Path, default=RESULTS / "sites_sweep.tsv")
    options.add_argument("--json", type=Path, default=RESULTS / "sites_sweep.json")
    args = options.parse_args()
    torch.set_num_threads(1)
    here = circumstances()
    wanted = fnmatch.filter(backbone_names(), args.only)
    rows: dict[str, Row] = {}
    if args.tsv.exists() and args.json.exists():
        before = json.loads(args.json.read_text())["circumstances"]
        if {key: before.get(key) for key in here} == here:
            rows = {row["name"]: row for row in read(args.tsv)}
    if args.again:
        rows = {name: row for name, row in rows.items() if name not in wanted}
    args.tsv.parent.mkdir(parents=True, exist_ok=True)
    write_summary(args.json, here, list(rows.values()))
    with args.tsv.open("w", newline="") as file:
        table = writer(file)
        table.writerows(rows.values())
        for name in wanted:
            if name not in rows:
                rows[name] = dict.fromkeys(COLUMNS, "") | examine(name)
                table.writerow(rows[name])
                file.flush()
                print(*rows[name].values(), sep="  ", flush=True)
    rows = dict(sorted(rows.items()))
    with args.tsv.open("w", newline="") as file:
        writer(file).writerows(rows.values())
    write_summary(args.json, here, read(args.tsv))


def writer(file: TextIO) -> csv.DictWriter[str]:
    table = csv.DictWriter(file, COLUMNS, delimiter="\t", restval="", lineterminator="\n")
    table.writeheader()
    return table


def write_summary(path: Path, here: dict[str, Any], rows: list[Row]) -> None:
    machine = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }
    facts = {"circumstances": {**here, **machine}, **summary(rows)}
    path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:  # what is found is found here and now
        os.environ["ATTENTUNE_CACHE"] = cache
        main()
