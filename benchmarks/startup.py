"""Time whole commands that have very little to do.

    python benchmarks/startup.py --json benchmarks/results/startup.json

Commands are timed in turns: `ours`, with workers forked from a server that has imported torch and
timm, and without garbage collection during imports; and `by itself`, where each worker is a new
process with Python's default garbage collection. The result states the machine, versions, rounds
and quartiles.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from attentune.benchmarks.interleaved_timing import (
    format_summary,
    ratios,
    summarise_rounds,
    time_rounds,
)
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.trials import time_command
from attentune.runners.data import prepare_data
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe

BY_ITSELF = """
from attentune.runners.workers import processes
from attentune.search import cli
processes._forks = lambda: False
cli._collect_garbage_rarely = lambda: None
cli.main()
"""
WAYS = {"ours": ["-m", "attentune"], "by itself": ["-c", BY_ITSELF]}
DATA = {"data": "digits", "train_limit": 500, "image_size": 36}
SEARCH = [
    "search",
    "s",
    "--backbone=test_resnet",
    *(f"--{name.replace('_', '-')}={value}" for name, value in DATA.items()),
    "--trials=2",
    "--epochs=1",
    "--device=cpu",
    "--workers=2",
]
COMMANDS = {
    "search, two trials of one epoch": [*SEARCH, "--lr=0.002"],
    "the same with --lr auto": SEARCH,
    "measure --no-latency": ["measure", "test_resnet+se@all.residual", "--no-latency"],
}


def time_once(way: str, words: list[str], monitor: LoadMonitor) -> float:
    """Seconds of one command, with a new database if it needs one."""
    with tempfile.TemporaryDirectory() as folder:
        database = [f"--db={Path(folder) / 'startup.db'}"] if words[0] == "search" else []
        return time_command([sys.executable, *WAYS[way], *words, *database], monitor)


def measure_command(words: list[str], rounds: int, monitor: LoadMonitor) -> dict[str, Any]:
    """Seconds in both ways, and their ratio."""
    runs = {way: lambda way=way: time_once(way, words, monitor) for way in WAYS}
    times = time_rounds(runs, rounds)
    return {
        "seconds": {way: summarise_rounds(seconds, 2) for way, seconds in times.items()},
        "by itself / ours": summarise_rounds(ratios(times["by itself"], times["ours"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds, of two turns each")
    options = parser.parse_args()
    prepare_data(Recipe.of(**DATA))
    monitor = LoadMonitor.start(anyway=options.anyway)
    rows = []
    for name, words in COMMANDS.items():
        rows.append({"command": name, **measure_command(words, options.rounds, monitor)})
        print(name, "by itself / ours", format_summary(rows[-1]["by itself / ours"]), flush=True)
    result = {
        "what": "seconds of whole commands that train next to nothing",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "environment": describe_environment(torch.device("cpu"), "see --precision auto"),
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
