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
SHARING = "nvidia-cuda-mps-control"
"""NVIDIA's Multi-Process Service: without it the processes of a GPU take turns."""


class Search:
    """A study in a folder that is given some seconds at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.database = name, folder / f"{name}.db"
        self.part = folder / f"{name}.part"
        self.wall = 0.0

    def go_on(self, words: Sequence[str], seconds: float) -> dict[str, Any]:
        """Begin it with the flags `words`, or resume it, for so long; what `show --json` says."""
        begun = self.database.exists()
        spent = float(json.loads(self.part.read_text())["budget"]) if begun else 0.0
        command = ["resume", self.name] if begun else ["search", self.name, *words]
        command += ["--budget", f"{spent + seconds:.0f}"]
        self.part.write_text(json.dumps({"budget": spent + seconds}))
        began = time.perf_counter()
        subprocess.run(self._command(*command), cwd=ROOT, check=False)
        self.wall = time.perf_counter() - began
        shown = subprocess.run(
            self._command("show", self.name, "--json"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        told: dict[str, Any] = json.loads(shown.stdout)
        return told

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "attentune", *words, "--db", str(self.database)]

    def pace(self) -> float | None:
        """Trials an hour between the first end and the last, without the start of processes."""
        query = "select finished_at from attentune_trials where state = 'complete' order by 1"
        with contextlib.closing(sqlite3.connect(self.database)) as opened:
            ends = [datetime.fromisoformat(row[0]) for row in opened.execute(query)]
        if len(ends) < 3:
            return None
        return 3600 * (len(ends) - 1) / (ends[-1] - ends[0]).total_seconds()


def timed(search: Search, words: Sequence[str], seconds: float) -> dict[str, Any]:
    """How many trials an hour a search makes."""
    told = search.go_on(words, seconds)
    whole = 3600 * told["counts"]["complete"] / search.wall
    return {
        "study": told,
        "wall_seconds": search.wall,
        "trials_an_hour": {
            "from the command to its end, all told": whole,
            "between the first and the last end": search.pace(),
        },
    }


def trained_table(
    config: Path, table: Path, words: Sequence[str], seconds: float
) -> tuple[dict[str, Any], bool]:
    """A table that trains for so long, on where it was left; and whether all of it is there."""
    command = [sys.executable, str(ROOT / "benchmarks" / "train_tabular_benchmark.py"), str(config)]
    command += ["--table", str(table), "--seconds", f"{seconds:.0f}", *words]
    with shared_gpu(table.parent) as sharing:
        environment = {**os.environ, **sharing}
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        wall = time.perf_counter() - began
    found = json.loads(table.read_text("utf-8")) if table.exists() else {"architectures": []}
    trials = sum(len(row["seeds"]) for row in found["architectures"])
    told = {"trials": trials, "wall_seconds": wall, "shared by": SHARING * bool(sharing)}
    return told, done.returncode == 0


@contextlib.contextmanager
def shared_gpu(folder: Path) -> Iterator[dict[str, str]]:
    """Processes with these variables use the GPU at the same time, where there is a way to."""
    if not shutil.which(SHARING):
        yield {}
        return
    variables = {
        "CUDA_MPS_PIPE_DIRECTORY": str(folder / "mps"),
        "CUDA_MPS_LOG_DIRECTORY": str(folder / "mps"),
    }
    (folder / "mps").mkdir(exist_ok=True)
    environment = {**os.environ, **variables}
    subprocess.run([SHARING, "-d"], env=environment, check=True, timeout=20)
    try:
        yield variables
    finally:
        subprocess.run([SHARING], input="quit\n", text=True, env=environment, check=False)
