"""Search for attention in a YOLO detector, trained by Ultralytics' own trainer.

Before, without attentune:

    YOLO("yolo11n.yaml").train(data="/data/cells/data.yaml", epochs=50, imgsz=640)

What is added: a trainer that inserts the attention of the trial, and a callback that reports each
epoch. The trainer has to insert it, because `train()` builds a new network, without what was
inserted into an earlier one. In the folder `examples`:

    pip install 'attentune[yolo]'
    export YOLO_DATA=/data/cells/data.yaml
    attentune search cells --backbone yolo_detection:make_model --input 3x640x640 \\
        --evaluate yolo_detection:train --metric map50_95:max:% --epochs 50

Settings come from the environment: YOLO_DATA, YOLO_NETWORK (yolo11n.yaml), YOLO_WEIGHTS (pretrained
weights, none by default) and YOLO_TRAIN, further arguments of `train` as JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

# Trials neither download anything nor send statistics. They have settings of their own, so that no
# tracker which is switched on in the user's settings logs every trial.
os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")
os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "attentune-yolo"))

from ultralytics import YOLO
from ultralytics.data.utils import check_det_dataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel

NETWORK = os.environ.get("YOLO_NETWORK", "yolo11n.yaml")
DATA = os.environ.get("YOLO_DATA", "data.yaml")
WEIGHTS = os.environ.get("YOLO_WEIGHTS") or False
SETTINGS = json.loads(os.environ.get("YOLO_TRAIN", "{}"))


def make_model() -> DetectionModel:
    """The network without attention: its places, parameters and MACs are those of a study."""
    classes = check_det_dataset(DATA, autodownload=False)["nc"]
    return DetectionModel(NETWORK, ch=3, nc=classes, verbose=False)


def train(trial):
    """Train the network of a trial, and return its metrics."""

    class Trainer(DetectionTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):
            model = trial.insert(super().get_model(cfg, None, verbose))
            if weights:  # Pretrained ones, or those of an interrupted training with its attention.
                model.load(weights)
            return model

        def final_eval(self):
            if not trial.stopped:  # Otherwise last.pt stays as it is, so the trial can go on later.
                super().final_eval()

    def report(trainer):
        epoch = trainer.epoch + 1
        if epoch > trial.epochs or trial.stopped:  # Of the evaluation after the last epoch.
            return
        scores = trainer.metrics
        losses = {"train_loss": sum(float(loss) for loss in trainer.tloss.values())}
        if not trial.report(epoch, map50_95=scores["metrics/mAP50-95(B)"], **losses):
            trainer.stop = True

    last, best = (trial.folder / "run" / "weights" / name for name in ("last.pt", "best.pt"))
    if trial.last_epoch < trial.epochs:
        resume = last.exists()
        model = YOLO(last if resume else NETWORK, task="detect")
        model.add_callback("on_fit_epoch_end", report)
        model.train(
            trainer=Trainer,
            resume=resume,
            data=DATA,
            epochs=trial.epochs,
            imgsz=max(trial.image_size),
            seed=trial.seed,
            device=str(trial.device),
            pretrained=WEIGHTS,
            project=str(trial.folder),
            name="run",
            exist_ok=True,
            patience=0,
            plots=False,
            **SETTINGS,
        )
        if trial.stopped:
            return None
    split = "test" if trial.split == "test" else "val"
    results = YOLO(best).val(
        data=DATA,
        split=split,
        imgsz=max(trial.image_size),
        device=str(trial.device),
        plots=False,
        project=str(trial.folder),
        name="validation",
        exist_ok=True,
    )
    return {
        "map50_95": results.box.map,
        "map50": results.box.map50,
        "precision": results.box.mp,
        "recall": results.box.mr,
    }
