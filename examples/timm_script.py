"""timm's own training script trains the trials of a study.

Before, without attentune, in a clone of timm, with the images of `python digit_images.py digits`:

    python train.py --model test_resnet --epochs 3 \\
        --data-dir digits --num-classes 10 --input-size 3 32 32 --no-aug \\
        --opt adamw --lr 2e-3 --warmup-epochs 0 --batch-size 16 --workers 0

After, `timm_script.py` stands before `train.py`. The study decides about the model, the epochs, the
seed and the device, so these options are left out:

    attentune search timm --metric accuracy --epochs 3 --trials 8 \\
        --backbone test_resnet --num-classes 10 --image-size 32 \\
        --evaluate "python examples/timm_script.py ../pytorch-image-models/train.py \\
            --data-dir digits --num-classes 10 --input-size 3 32 32 --no-aug \\
            --opt adamw --lr 2e-3 --warmup-epochs 0 --batch-size 16 --workers 0"

It needs a clone of https://github.com/huggingface/pytorch-image-models in the version of timm that
is installed (`git clone --branch v1.0.31 …`), since timm's package does not contain the script.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

import attentune


def main(script: str, *options: str) -> None:
    """Run timm's script on the network of the trial.

    Args:
        script: path of timm's `train.py`.
        *options: of timm's script.
    """
    trial = {
        name.removeprefix("ATTENTUNE_").lower(): value
        for name, value in os.environ.items()
        if name.startswith("ATTENTUNE_")
    }
    # `--model searched` makes the network of the trial.
    attentune.register("searched", trial["architecture"], seed=int(trial["seed"]))
    report_checkpoints()
    last = Path(trial["folder"], "timm", "last.pth.tar")
    sys.argv = [
        *(script, *options, "--model", "searched"),
        *("--epochs", trial["epochs"], "--seed", trial["seed"], "--device", trial["device"]),
        *("--val-split", trial["split"], "--output", trial["folder"], "--experiment", "timm"),
        *(("--resume", str(last)) if last.exists() else ()),
    ]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


def report_checkpoints() -> None:
    """Report each epoch as soon as timm's script has written its checkpoint."""
    from timm import utils

    class ReportingSaver(utils.CheckpointSaver):
        def save_checkpoint(self, epoch, metric=None):
            best = super().save_checkpoint(epoch, metric)
            values = {"epoch": epoch + 1, "accuracy": metric / 100}
            print("ATTENTUNE", json.dumps(values), flush=True)
            return best

    utils.CheckpointSaver = ReportingSaver


if __name__ == "__main__":
    main(*sys.argv[1:])
