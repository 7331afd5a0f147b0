"""The code in docs/own_training.md runs, or is part of an example that a test runs."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import attentune
import pytest

ROOT = Path(attentune.__file__).resolve().parent
PAGE = (ROOT / "docs" / "own_training.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
RUN = 2


def test_code_of_libraries_is_that_of_the_examples():
    examples = [path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py")]
    shown = BLOCKS[RUN:]
    assert len(shown) == 4
    for block in shown:
        assert any(block in example for example in examples), block


@pytest.mark.slow
@pytest.mark.parametrize("number", range(RUN))
def test_the_function_and_the_script_train_a_trial(play, tmp_path, number):
    file = tmp_path / "train.py"
    file.write_text(BLOCKS[number])
    target = [f"{file}:train", shlex.join([sys.executable, str(file)])][number]
    text = "test_resnet+se(r=4,start=identity)@s4.residual"
    events = play(target, metric="error:min", in_chans=3, text=text)
    assert events[-1].result.metric_score < 0
