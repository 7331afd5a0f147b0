"""Search, confirm, export and report the studies of `docs/gallery/`, as people would.

    pip install -e '.[finetune]'
    python benchmarks/gallery.py --data ../shared/data/cifar10 --folder gallery --minutes 60

scratch      CIFAR-10 at 32 pixels, a small ResNet from random weights: stage-wise attention, ratio
             and position
pretrained   the same photographs at 96 pixels, EfficientNet-Lite0 with its ImageNet weights

Both together take less than three hours of two cores. `--minutes` ends a call in time with exit
status 3, and the next one goes on where it was; what is done is not repeated. `--full` are the
studies in full, for a GPU.

For each study there is then a result file (`--results`), and in `--pages` the report, the table of
trials, and the exported model without its weights. The report lacks Plotly's script, which is five
megabytes; building the documentation puts it back (`docs/site_hooks.py`).
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attentune.benchmarks.finetune_accuracy import write_weights
from attentune.benchmarks.record_study import study_result
from attentune.benchmarks.report_script import without_script
from attentune.files import atomic_write
from attentune.studies.database.store import Store

ROOT = Path(__file__).parent.parent
DATABASE = "attentune.db"
OUT_OF_TIME = 3
"""Exit status if a later call has to go on."""
WEIGHTS = "weights.pth"
EXPORTED = {
    "README.md": "model-card.md",
    "architecture.json": "architecture.json",
    "model.safetensors": "model.safetensors",
}
"""Files of an exported model, by their names in the pages."""
MAX_EXPORTED_BYTES = 500_000
"""Larger weights are not committed."""
CHOICES = (
    "--space full --attention none --attention se --attention eca --attention cbam --attention ca"
    " --ratio 4 --ratio 16"
)


@dataclass(frozen=True)
class GalleryStudy:
    """A study of the gallery.

    Attributes:
        name: of the study.
        search: options of `attentune search`.
        confirm: options of `attentune confirm`.
        needs_weights: whether it begins with the ImageNet weights of a package.
    """

    name: str
    search: str
    confirm: str
    needs_weights: bool = False


STUDIES = (
    GalleryStudy(
        "scratch",
        f"--backbone resnet6_050 --data photos --stem native {CHOICES}"
        " --train-limit 25000 --trials 60 --alternatives",
        "--top 2 --seeds 6 --epochs 8",
    ),
    GalleryStudy(
        "pretrained",
        f"--backbone tf_efficientnet_lite0 --init {WEIGHTS} --data photos --image-size 96"
        f" {CHOICES} --train-limit 2500"
        " --batch-size 32 --epochs 4 --trials 16",
        "--top 1 --seeds 4 --epochs 4",
        needs_weights=True,
    ),
)
FULL_STUDIES = (
    GalleryStudy(
        "scratch",
        f"--backbone resnet18 --data photos --stem small {CHOICES}"
        " --epochs 15 --trials 80 --alternatives",
        "--seeds 8",
    ),
    GalleryStudy(
        "pretrained",
        f"--backbone tf_efficientnet_lite0 --init {WEIGHTS} --data photos --image-size 128"
        f" {CHOICES} --epochs 5 --trials 60 --alternatives",
        "--seeds 8",
        needs_weights=True,
    ),
)
DRY_STUDIES = tuple(
    GalleryStudy(
        study.name,
        "--backbone test_resnet --data digits --train-limit 200 --granularity network --trials 3"
        " --epochs 1 --device cpu --workers 1 --lr 0.01 --precision float32"
        " --memory-format contiguous",
        "--top 1 --seeds 2",
    )
    for study in FULL_STUDIES
)


class Gallery:
    """The commands of a study, run in a folder until the time is over.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder: Path = options.folder.resolve()
        self.ends = time.monotonic() + 60 * options.minutes

    def prepare(self) -> None:
        """Unpack the photographs, or link them where they are unpacked already."""
        photos = self.folder / "photos"
        if photos.exists():
            return
        if (self.options.data / "train").is_dir():
            photos.symlink_to(self.options.data.resolve())
            return
        draft = self.folder / "photos.part"
        shutil.rmtree(draft, ignore_errors=True)
        for split in ("train", "test"):
            with tarfile.open(self.options.data / f"{split}.tar.gz") as archive:
                archive.extractall(draft, filter="data")
        draft.rename(photos)

    def run(self, study: GalleryStudy) -> None:
        """Bring a study to its end, and write what the documentation shows of it."""
        if study.needs_weights and not (self.folder / WEIGHTS).exists():
            write_weights(self.folder / WEIGHTS)
        search = f"search {study.name} {study.search}"
        confirm = f"confirm {study.name} {study.confirm}"
        self.call(f"resume {study.name}" if self.knows(study.name) else search)
        self.call(confirm)
        content = self.result(study.name)
        recommendation = content["recommendation"]
        pick = recommendation["number"] if recommendation else "best"
        model = self.folder / study.name
        shutil.rmtree(model, ignore_errors=True)
        export = f"export {study.name} --pick {pick} -o {model.name}"
        self.call(export)
        self.write_pages(study.name, model)
        result = {
            "what": f"the study {study.name} of the gallery, with its confirmation",
            "commands": [f"attentune {command}" for command in (search, confirm, export)],
            **content,
            "environment": content["environments"][-1],
        }
        suffix = "_full" if self.options.full else ""
        path = self.options.results.resolve() / f"gallery_{study.name}{suffix}.json"
        write(path, json.dumps(result, indent=1) + "\n")

    def write_pages(self, name: str, model: Path) -> None:
        """Write the report of a study, its table of trials, and what is small of its model."""
        pages = self.options.pages.resolve()
        report, table = f"{name}.html", f"{name}.csv"
        self.call(f"report {name} -o {report}")
        self.call(f"export-table {name} -o {table}")
        html = (self.folder / report).read_text("utf-8")
        write(pages / f"{name}-report.html", without_script(html))
        write(pages / table, (self.folder / table).read_text("utf-8"))
        (pages / f"{name}-model").mkdir(exist_ok=True)
        for file, page in EXPORTED.items():
            if (model / file).stat().st_size <= MAX_EXPORTED_BYTES:
                shutil.copyfile(model / file, pages / f"{name}-model" / page)

    def knows(self, name: str) -> bool:
        """Whether the database has the study."""
        path = self.folder / DATABASE
        if not path.exists():
            return False
        with Store.open(str(path), read_only=True) as store:
            return name in {study.name for study in store.studies.read_all()}

    def result(self, name: str) -> dict[str, Any]:
        """What the database knows of a study."""
        with Store.open(str(self.folder / DATABASE), read_only=True) as store:
            return study_result(store, store.studies.get(name))

    def call(self, command: str) -> None:
        """Run a command; SystemExit if it fails, or if the time is over, when it is interrupted."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise SystemExit(OUT_OF_TIME)
        print(f"$ attentune {command}", flush=True)
        words = [sys.executable, "-m", "attentune", *shlex.split(command)]
        process = subprocess.Popen(words, cwd=self.folder)
        try:
            status = process.wait(left)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
            print("out of time; call again for what is left")
            raise SystemExit(OUT_OF_TIME) from None
        except KeyboardInterrupt:
            process.wait()
            raise
        if status:
            raise SystemExit(f"attentune {command} failed")


def write(path: Path, text: str) -> None:
    """Write a text file, which is complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("studies", nargs="*", help="without any: all")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of train and test, or of their archives"
    )
    parser.add_argument("--folder", type=Path, required=True, help="for database and images")
    parser.add_argument("--minutes", type=float, default=180.0)
    parser.add_argument("--full", action="store_true", help="the studies in full, for a GPU")
    parser.add_argument("--dry", action="store_true", help="tiny studies: does the script work?")
    parser.add_argument("--pages", type=Path, default=ROOT / "docs" / "gallery")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    studies = DRY_STUDIES if options.dry else FULL_STUDIES if options.full else STUDIES
    names = [study.name for study in studies]
    if unknown := set(options.studies) - set(names):
        parser.error(
            f"there is no study {', '.join(sorted(unknown))}; there are {', '.join(names)}"
        )
    options.folder.mkdir(parents=True, exist_ok=True)
    gallery = Gallery(options)
    if not options.dry:
        gallery.prepare()
    for study in studies:
        if not options.studies or study.name in options.studies:
            gallery.run(study)


if __name__ == "__main__":
    main()
