"""The commands of the tutorial lead from a folder of images to a model that classifies one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import attentune
import pytest

PAGE = Path(attentune.__file__).resolve().parent / "docs" / "tutorial.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
COMMANDS = [block.strip() for language, block in BLOCKS if not language]
SCRIPT, LAST_LINES = (block for language, block in BLOCKS if language == "python")
SHORTER = {"--trials 12": "--trials 4", "--epochs 5": "--epochs 1", "--seeds 5": "--seeds 2"}


def test_it_takes_fewer_than_ten_commands():
    assert len(COMMANDS) < 10
    assert [shlex.split(command)[:2] for command in COMMANDS[3:]] == [
        ["attentune", name]
        for name in ("search", "dashboard", "confirm", "report", "export", "predict")
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_lead_to_a_model_that_classifies_a_new_image(tmp_path):
    script = SCRIPT.replace("6000", "600").replace("2000", "200")
    (tmp_path / "make_photos.py").write_text(script, "utf-8")
    environment = os.environ | {"ATTENTUNE_CACHE": str(tmp_path / "cache"), "COLUMNS": "100"}

    def run(words: list[str]) -> str:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    printed = ""
    for command in COMMANDS[1:]:
        for usual, less in SHORTER.items():
            command = command.replace(usual, less)
        words = shlex.split(command)
        if words[1] == "dashboard":
            continue  # It serves until it is stopped; its own tests start it.
        printed += run(["-m", *words] if words[0] == "attentune" else words[1:])
    assert "10 classes" in printed
    assert "Noise of one trial" in printed
    assert "bare backbone" in printed.partition("Accuracy on the test split")[2]
    assert "Exported trial" in printed
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert re.search(r"^new\.png: \d \d+\.\d %, \d", printed, re.M)
    digit = run(["-c", LAST_LINES]).strip()
    assert f"new.png: {digit} " in printed
