"""timm's own training script as in the examples: a command that trains the trials."""

from __future__ import annotations

import os
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from attentune.runners.events import Decision, EpochDone, Finished, Stopped

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).with_name("timm_stand_in.py")
SCRIPT = Path(os.environ.get("ATTENTUNE_TEST_TIMM_SCRIPT", STAND_IN))
"""`train.py` of a clone of timm, in the version that is installed."""
EXAMPLE = STAND_IN.parents[2] / "examples" / "timm_script.py"


@pytest.fixture
def command(tmp_path):
    """The command of the example, on the images of the example."""
    write = runpy.run_path(str(EXAMPLE.with_name("digit_images.py")))["write_class_folders"]
    write(tmp_path / "digits")
    options = (
        f"--data-dir {tmp_path / 'digits'} --num-classes 10 --input-size 3 32 32 --no-aug "
        "--opt adamw --lr 2e-3 --warmup-epochs 0 --batch-size 16 --workers 0"
    )
    return f"{shlex.join([sys.executable, str(EXAMPLE), str(SCRIPT)])} {options}"


def test_the_script_of_timm_trains_the_trials_of_a_study(search, command):
    study = search(command, backbone="test_resnet", image_size=32, num_classes=10)
    assert max(trial.accuracy for trial in study.trials) > 0.2


def test_an_interrupted_script_goes_on_from_its_checkpoint(play, tmp_path, command):
    parts = play(command, decisions={1: Decision.PAUSE}, in_chans=3)
    assert isinstance(parts[-1], Stopped)
    parts += play(command, in_chans=3)
    assert [e.report.epoch for e in parts if isinstance(e, EpochDone)] == [1, 2]
    assert isinstance(parts[-1], Finished)
    assert (tmp_path / "trial/files/timm/last.pth.tar").exists()
