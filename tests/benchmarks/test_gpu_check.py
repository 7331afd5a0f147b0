"""The script for a GPU machine, dry on a CPU: every part runs, and none a second time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from attentune.benchmarks.gpu_check_parts import list_unfinished_tables

ROOT = Path(__file__).parents[2]
PARTS = {"tests", "fused", "graphs", "bf16", "packing", "epochs", "study"}
PARTS |= {"loop", "finetune", "trials", "gallery_scratch_full", "gallery_pretrained_full"}
NAMES = [path.stem for path, _ in list_unfinished_tables()]
TABLES = {"tables"} | {f"{name}{more}_table" for name in NAMES for more in ("", "_longer")}


def check(out: Path) -> subprocess.CompletedProcess[str]:
    data = out.parent / "data"
    data.mkdir(exist_ok=True)
    command = ["bash", "benchmarks/gpu_check.sh", "--data", str(data), "--out", str(out), "--dry"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_script_runs_dry_and_a_second_call_has_nothing_left_to_do(tmp_path):
    out = tmp_path / "out"
    done = check(out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stem for path in out.glob("*.json")} == PARTS | TABLES
    assert json.loads((out / "fused.json").read_text())["ok"]
    again = check(out)
    assert again.returncode == 0
    assert again.stdout.strip() == f"all parts are in {out}"
