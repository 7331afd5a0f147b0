"""Whether attention helps a YOLO detector on a small data set, and at which places.

    pip install 'attentune[yolo]'
    python benchmarks/yolo_study.py --json benchmarks/results/yolo_study.json

Every architecture is YOLO11n with attention at three maps: those that leave the backbone, or those
that the head reads. It is trained from random weights by Ultralytics' own trainer, on scans of
digits scattered over a canvas (`scattered_digits.py`), and its mAP is measured once, on test images
whose scans are in no training image. With the same seed, all architectures begin with the same
weights of the backbone. `none, longer` is the bare network with a quarter more epochs: what one
gains if one spends time instead.

Runs that the result file already has are not repeated. A seed is run for all architectures before
the next one begins.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.special
import torch
from attentune.benchmarks.scattered_digits import write_detection_data
from attentune.files import atomic_write
from attentune.runners.environment import describe_environment
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.own_network import insert
from attentune.studies.analysis.least_squares import LEVEL
from attentune.studies.analysis.paired_comparisons import POWER, BlockDesign, holm_adjusted

NETWORK = "yolo11n.yaml"
IMAGE_SIDE = 96
IMAGES = {"train": 400, "val": 16, "test": 500}
"""The validation images are there because Ultralytics asks for some; nothing is chosen by them."""
EPOCHS = 8
LONGER_EPOCHS = 10
SETTINGS: dict[str, Any] = {
    "imgsz": IMAGE_SIDE,
    "batch": 16,
    "nbs": 16,
    "optimizer": "AdamW",
    "lr0": 0.002,
    "cos_lr": True,
    "warmup_epochs": 1,
    "mosaic": 0.0,
    "fliplr": 0.0,
    "hsv_h": 0.0,
    "hsv_s": 0.0,
    "hsv_v": 0.2,
    "scale": 0.2,
    "translate": 0.1,
    "pretrained": False,
    "amp": False,
}
"""Of Ultralytics' training; the others are its defaults. Digits are not mirrored."""
BACKBONE_PLACES = ("model.4", "model.6", "model.10")
"""The maps of strides 8, 16 and 32 that leave the backbone."""
NECK_PLACES = ("model.16", "model.19", "model.22")
"""The maps of strides 8, 16 and 32 that the head reads."""
BARE = "none"
CPU = torch.device("cpu")
Run = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """What is compared: insertions, as a text, and the epochs of its training."""

    insertions: str = ""
    epochs: int = EPOCHS


def attended(attention: str, places: tuple[str, ...]) -> Variant:
    """Attention after each of some modules."""
    paths = ",".join(f"{{{place}}}" for place in places)
    return Variant(f"{attention}@{paths}.post")


SE, CBAM = "se(r=16,start=identity)", "cbam(r=16,start=identity)"
VARIANTS = {
    BARE: Variant(),
    "none, longer": Variant(epochs=LONGER_EPOCHS),
    "SE, backbone": attended(SE, BACKBONE_PLACES),
    "SE, neck": attended(SE, NECK_PLACES),
    "CBAM, backbone": attended(CBAM, BACKBONE_PLACES),
    "CBAM, neck": attended(CBAM, NECK_PLACES),
}


def train_and_test(variant: Variant, seed: int, data: Path, folder: Path) -> Run:
    """Train a network, and measure it on the test images.

    Args:
        variant: what to insert.
        seed: of the weights and the augmentation.
        data: the description of the data set.
        folder: for what Ultralytics writes.
    """
    from ultralytics import YOLO
    from ultralytics.models.yolo.detect import DetectionTrainer

    class AttentionTrainer(DetectionTrainer):  # type: ignore[misc]
        """Inserts the attention into the network that the trainer builds."""

        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
            model = super().get_model(cfg, None, verbose)
            if variant.insertions:
                insert(
                    model, variant.insertions, torch.zeros(1, 3, IMAGE_SIDE, IMAGE_SIDE), seed=seed
                )
            if weights:
                model.load(weights)
            return model

    began = time.process_time()
    run_settings = {"data": str(data), "device": "cpu", "workers": 0, "plots": False}
    YOLO(NETWORK, task="detect", verbose=False).train(
        trainer=AttentionTrainer,
        epochs=variant.epochs,
        seed=seed,
        val=False,
        verbose=False,
        project=str(folder),
        name="run",
        exist_ok=True,
        **run_settings,
        **SETTINGS,
    )
    trained = YOLO(folder / "run" / "weights" / "last.pt")
    box = trained.val(
        split="test", imgsz=IMAGE_SIDE, batch=32, verbose=False, project=str(folder), **run_settings
    ).box
    return {
        "map50_95": float(box.map),
        "map50": float(box.map50),
        "precision": float(box.mp),
        "recall": float(box.mr),
        "params": sum(parameter.numel() for parameter in trained.model.parameters()),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def summarise(runs: list[Run]) -> dict[str, Any]:
    """Means, and differences from the bare network, of the seeds that all variants have."""
    by_variant: dict[str, dict[int, Run]] = {name: {} for name in VARIANTS}
    for run in runs:
        by_variant[run["variant"]][run["seed"]] = run
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in by_variant.values())))
    if len(seeds) < 2:
        return {}
    design = BlockDesign(
        {
            name: {seed: by_seed[seed]["map50_95"] for seed in seeds}
            for name, by_seed in by_variant.items()
        }
    )
    names = [name for name in VARIANTS if name != BARE]
    differences = [each for name in names if (each := design.difference(name, BARE))]
    corrected = holm_adjusted([each.p for each in differences if each.p is not None])
    rows = []
    for name, by_seed in by_variant.items():
        scores = [by_seed[seed]["map50_95"] for seed in seeds]
        row = {
            "variant": name,
            "epochs": VARIANTS[name].epochs,
            "params": by_seed[seeds[0]]["params"],
            "map50_95": round(sum(scores) / len(scores), 4),
            "lowest": round(min(scores), 4),
            "highest": round(max(scores), 4),
            "map50": round(sum(by_seed[seed]["map50"] for seed in seeds) / len(seeds), 4),
        }
        if name != BARE:
            difference, p = differences[names.index(name)], corrected[names.index(name)]
            row |= {
                "difference": round(difference.mean, 4),
                "low": round(difference.low, 4),
                "high": round(difference.high, 4),
                "corrected_p": round(p, 4),
                "claimed": p <= LEVEL,
            }
        rows.append(row)
    return {
        "seeds": seeds,
        "deviation": round(design.deviation, 4),
        "freedom": design.freedom,
        "detectable": round(detectable_difference(design, len(seeds), len(names)), 4),
        "rows": rows,
    }


def detectable_difference(design: BlockDesign[str], seeds: int, comparisons: int) -> float:
    """The difference that is claimed with a probability of 80 %, after Bonferroni's correction.

    Args:
        design: estimates the noise of a run.
        seeds: runs of each variant.
        comparisons: with the bare network.
    """
    critical = scipy.special.stdtrit(design.freedom, 1 - LEVEL / comparisons / 2)
    margin = scipy.special.stdtrit(design.freedom, POWER)
    return float((critical + margin) * design.deviation * (2 / seeds) ** 0.5)


class StudyResultFile:
    """The result file, which is written after every run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {"what": (__doc__ or "").partition("\n")[0], "runs": []}
        if path.exists():
            self.content = json.loads(path.read_text("utf-8"))

    def has(self, variant: str, seed: int) -> bool:
        """Whether a run is done."""
        return any((run["variant"], run["seed"]) == (variant, seed) for run in self.content["runs"])

    def record(self, variant: str, seed: int, outcome: Run) -> None:
        """Add a run, and write the file."""
        import ultralytics

        self.content["runs"].append({"variant": variant, "seed": seed, **outcome})
        self.content |= {
            "network": NETWORK,
            "images": IMAGES,
            "image_side": IMAGE_SIDE,
            "settings": SETTINGS,
            "variants": {name: variant.insertions for name, variant in VARIANTS.items()},
            "ultralytics": ultralytics.__version__,
            "environment": describe_environment(CPU, "float32"),
            "summary": summarise(self.content["runs"]),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as draft:
            draft.write_text(json.dumps(self.content, indent=1) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    result = StudyResultFile(options.json)
    folder = Path(tempfile.mkdtemp(prefix="yolo-study-"))
    os.environ["YOLO_CONFIG_DIR"] = str(folder)
    try:
        import_timm()
        torch.set_num_threads(1)
        data = write_detection_data(folder / "data", IMAGES, IMAGE_SIDE)
        for seed in range(options.seeds):
            for name, variant in VARIANTS.items():
                if not result.has(name, seed):
                    outcome = train_and_test(variant, seed, data, folder)
                    result.record(name, seed, outcome)
                    print(name, seed, outcome, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result.content.get("summary"), indent=1))


if __name__ == "__main__":
    main()
