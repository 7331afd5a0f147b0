"""Long trainings on a GPU for `gpu_check_parts.py`: a timed search, and the tabular benchmarks.

Both continue where the last call stopped, in files beside their result.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MPS_PROGRAM = "nvidia-cuda-mps-control"
"""NVIDIA's Multi-Process Service. Without it the processes on a GPU take turns."""


class ResumableSearch:
    """A study in a folder that runs for some seconds at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.database = name, folder / f"{name}.db"
        self.part = folder / f"{name}.part"
        self.wall_seconds = 0.0

    def run(self, words: Sequence[str], seconds: float) -> dict[str, Any]:
        """Start the search with the options `words`, or resume it; the output of `show --json`."""
        exists = self.database.exists()
        spent = float(json.loads(self.part.read_text())["budget"]) if exists else 0.0
        command = ["resume", self.name] if exists else ["search", self.name, *words]
        command += ["--budget", f"{spent + seconds:.0f}"]
        self.part.write_text(json.dumps({"budget": spent + seconds}))
        began = time.perf_counter()
        subprocess.run(self._command(*command), cwd=ROOT, check=False)
        self.wall_seconds = time.perf_counter() - began
        completed = subprocess.run(
            self._command("show", self.name, "--json"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        content: dict[str, Any] = json.loads(completed.stdout)
        return content

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "attentune", *words, "--db", str(self.database)]

    def trials_per_hour(self) -> float | None:
        """Trials per hour between the first and the last end of a trial, without start-up."""
        query = "select finished_at from attentune_trials where state = 'complete' order by 1"
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            ends = [datetime.fromisoformat(row[0]) for row in connection.execute(query)]
        if len(ends) < 3:
            return None
        return 3600 * (len(ends) - 1) / (ends[-1] - ends[0]).total_seconds()


def time_search(search: ResumableSearch, words: Sequence[str], seconds: float) -> dict[str, Any]:
    """Run a search, and measure its trials per hour."""
    shown = search.run(words, seconds)
    whole = 3600 * shown["counts"]["complete"] / search.wall_seconds
    return {
        "study": shown,
        "wall_seconds": search.wall_seconds,
        "trials_an_hour": {
            "from the command to its end, all told": whole,
            "between the first and the last end": search.trials_per_hour(),
        },
    }


def train_table(
    config: Path, table: Path, words: Sequence[str], seconds: float
) -> tuple[dict[str, Any], bool]:
    """Train a table for some seconds from where it stopped; progress, and whether it is done."""
    command = [sys.executable, str(ROOT / "benchmarks" / "train_tabular_benchmark.py"), str(config)]
    command += ["--table", str(table), "--seconds", f"{seconds:.0f}", *words]
    with shared_gpu(table.parent) as mps_variables:
        environment = {**os.environ, **mps_variables}
        began = time.perf_counter()
        completed = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        wall_seconds = time.perf_counter() - began
    content = json.loads(table.read_text("utf-8")) if table.exists() else {"architectures": []}
    trials = sum(len(row["seeds"]) for row in content["architectures"])
    progress = {
        "trials": trials,
        "wall_seconds": wall_seconds,
        "shared by": MPS_PROGRAM * bool(mps_variables),
    }
    return progress, completed.returncode == 0


@contextlib.contextmanager
def shared_gpu(folder: Path) -> Iterator[dict[str, str]]:
    """Environment variables with which processes use the GPU at the same time, if MPS exists."""
    if not shutil.which(MPS_PROGRAM):
        yield {}
        return
    variables = {
        "CUDA_MPS_PIPE_DIRECTORY": str(folder / "mps"),
        "CUDA_MPS_LOG_DIRECTORY": str(folder / "mps"),
    }
    (folder / "mps").mkdir(exist_ok=True)
    environment = {**os.environ, **variables}
    subprocess.run([MPS_PROGRAM, "-d"], env=environment, check=True, timeout=20)
    try:
        yield variables
    finally:
        subprocess.run([MPS_PROGRAM], input="quit\n", text=True, env=environment, check=False)
