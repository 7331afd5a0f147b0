"""Repeat `make demo` with several study seeds, and compare its claims with the truth.

    python benchmarks/demo.py --json benchmarks/results/demo.json

A study is the whole command (search, confirmation and report) in an empty folder, as a user runs
it after the installation. The truth is measured apart from the studies: every architecture that one
of them has confirmed is trained with further seeds, each with training images of its own choice,
and evaluated on images that are drawn anew from the scans of the test split. A claim says that one
architecture is more accurate than another. The mean of the paired differences judges it:

    right      the difference is positive, and its 95 % interval excludes zero
    wrong      the difference is not positive
    unproven   it is positive, but its interval includes zero

The verdict on a study is `wrong` if one of its claims is wrong. Otherwise it is that on the first
architecture that it claims to be better than the bare backbone, and `none` if there is none.

Every study and every trial is written when it ends, so the benchmark can be stopped at any time
(`--minutes`) and continues when it is called again. A study that was interrupted begins anew. The
wall time of a study means something on an idle machine only; with `--anyway` the result says so.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy
import torch
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.network_training import LoadedData, load_on_device, train_network
from attentune.files import atomic_write
from attentune.runners.data.images import preprocess_array
from attentune.runners.data.preprocessing import Preprocessing
from attentune.runners.data.sources.embedded import draw_images
from attentune.runners.devices import keep_freed_memory
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.training.device_data import DeviceImages
from attentune.runners.training.evaluation import evaluate
from attentune.studies.database.store import Store
from attentune.studies.outputs.study_json import study_json

ROOT = Path(__file__).resolve().parents[1]
Result = dict[str, Any]
TruthTask = tuple[str, int, Result]
"""An architecture, a seed, and the fields of the recipe."""
NEW_IMAGES = 10_000
"""Images that the truth is measured on."""
IMAGES_SEED = 1
FIRST_TRUTH_SEED = 5_000_000
"""Neither a search nor a confirmation has this seed or a higher one."""
LEVEL = 0.05
SAMPLE_SECONDS = 0.5
"""Between samples of the machine's load. The time of a process that has ended is lost."""
VERDICTS = ("right", "wrong", "unproven", "none")


@dataclass(frozen=True)
class Claim:
    """The claim that one architecture is more accurate than another, by their texts."""

    better: str
    worse: str


def run_study(seed: int, folder: Path, monitor: LoadMonitor) -> Result:
    """Run `make demo` once, and return what is kept of the study.

    Args:
        seed: of the study.
        folder: for its database and report.
        monitor: measures the load of the machine meanwhile.

    Raises:
        SystemExit: the command has failed.
    """
    # The environment of this process is used as it is, whatever the dates of its files.
    command = ["make", "--no-print-directory", f"--old-file={sys.prefix}/.installed", "demo"]
    variables = [f"VENV={sys.prefix}", f"DEMO={folder}", f"SEED={seed}"]
    log = folder / "output.txt"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *variables], cwd=ROOT, stdout=output, stderr=output)
        while process.poll() is None:
            time.sleep(SAMPLE_SECONDS)
            monitor.sample()
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"make demo with seed {seed} failed:\n{log.read_text('utf-8')}")
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        **read_study(folder / "attentune.db"),
    }


def read_study(database: Path) -> Result:
    """What is kept of a study, and the backbone and the recipe of its confirmation."""
    with Store.open(str(database), read_only=True) as store:
        record = store.studies.get("demo")
        shown = study_json(store, record)
    plan = record.config.confirmation
    assert plan is not None
    recipe = record.config.recipe.model_copy(update={"epochs": plan.epochs})
    fields = recipe.model_dump(mode="json", exclude={"data_seed"})
    return {"backbone": record.backbone, "recipe": fields, **summarise_study(shown)}


def summarise_study(shown: Result) -> Result:
    """What is kept of a study.

    Args:
        shown: what `attentune show --json` prints.
    """
    confirmation = shown["confirmation"]
    return {
        "counts": shown["counts"],
        "sentence": confirmation["sentence"],
        "seeds": confirmation["seeds"],
        "noise": confirmation["noise"]["deviation"],
        "detectable": confirmation["detectable"],
        "contenders": [
            {
                "architecture": contender["architecture"],
                "finalist": contender["finalist"],
                "accuracies": contender["accuracies"],
                "gain": contender["gain"] and contender["gain"]["mean"],
                "gain_error": contender["gain"] and contender["gain"]["standard_error"],
            }
            for contender in confirmation["contenders"]
        ],
        "claims": [asdict(claim) for claim in read_claims(confirmation, shown["backbone"])],
    }


def read_claims(confirmation: Result, bare: str) -> list[Claim]:
    """All claims of a confirmation; first those against the bare backbone, most accurate first."""
    differences = [
        (contender["architecture"], bare, contender["gain"])
        for contender in confirmation["contenders"]
        if contender["gain"]
    ]
    differences += [(pair["one"], pair["other"], pair) for pair in confirmation["pairs"]]
    return [
        Claim(first, second) if difference["mean"] > 0 else Claim(second, first)
        for first, second, difference in differences
        if difference["claimed"]
    ]


@lru_cache(maxsize=1)
def _draw_new_images(data: str, size: int) -> DeviceImages:
    images, labels = draw_images(data, "test", NEW_IMAGES, IMAGES_SEED)
    preprocessing = Preprocessing(size)
    resized = np.stack([preprocess_array(image, preprocessing) for image in images])
    return DeviceImages(torch.from_numpy(resized), torch.from_numpy(labels))


def train_truth_trial(task: TruthTask) -> Result:
    """Train an architecture with a further seed, and evaluate it on new images.

    Args:
        task: the architecture, the seed, and the fields of the recipe.
    """
    text, seed, fields = task
    began = time.process_time()
    torch.set_num_threads(1)
    keep_freed_memory()
    recipe = Recipe.of(**{**fields, "data_seed": seed})
    loaded: LoadedData = load_on_device(recipe, torch.device("cpu"))
    run = train_network(text, seed, recipe, loaded)
    images = _draw_new_images(recipe.data, recipe.image_size)
    accuracy = evaluate(run.outcome.model, loaded.data, recipe, images).accuracy
    seconds = round(time.process_time() - began, 2)
    return {"architecture": text, "seed": seed, "accuracy": accuracy, "cpu_seconds": seconds}


def missing_truth_trials(result: Result, seeds: int) -> list[TruthTask]:
    """The trials of the truth that have not been run, all architectures with one seed first.

    Args:
        result: with studies, whose contenders are trained.
        seeds: for each architecture.
    """
    contenders = {
        contender["architecture"]: study["recipe"]
        for study in result["studies"]
        for contender in study["contenders"]
    }
    done = {(trial["architecture"], trial["seed"]) for trial in result["truth"]}
    return [
        (text, seed, recipe)
        for seed in range(FIRST_TRUTH_SEED, FIRST_TRUTH_SEED + seeds)
        for text, recipe in sorted(contenders.items())
        if (text, seed) not in done
    ]


def train_all(tasks: Sequence[TruthTask], processes: int) -> Iterator[Result]:
    """Train all tasks in some processes, and yield trials as they end."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(train_truth_trial, tasks)


def measure_difference(accuracies: Mapping[str, Mapping[int, float]], claim: Claim) -> Result:
    """The true difference of a claim and how sure it is, in points.

    Args:
        accuracies: by architecture and seed, of the truth, as fractions.
        claim: which architectures to compare.
    """
    better, worse = accuracies.get(claim.better, {}), accuracies.get(claim.worse, {})
    differences = [100 * (better[seed] - worse[seed]) for seed in better.keys() & worse.keys()]
    if len(differences) < 2:
        return {"verdict": "unproven", "difference": None, "standard_error": None, "seeds": 0}
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    margin = scipy.stats.t.ppf(1 - LEVEL / 2, len(differences) - 1) * error
    verdict = "wrong" if mean <= 0 else "right" if mean > margin else "unproven"
    return {
        "verdict": verdict,
        "difference": round(mean, 2),
        "standard_error": round(error, 2),
        "seeds": len(differences),
    }


def judge_study(claims: Sequence[Claim], verdicts: Sequence[str], bare: str) -> str:
    """One of `VERDICTS`, as the head of this file says.

    Args:
        claims: of the study, in the order of `read_claims`.
        verdicts: one for each claim.
        bare: the bare backbone.
    """
    if "wrong" in verdicts:
        return "wrong"
    gains = [v for claim, v in zip(claims, verdicts, strict=True) if claim.worse == bare]
    return gains[0] if gains else "none"


def summarise(result: Result) -> Result:
    """The true gains, the verdict on each study, and how often each verdict was reached."""
    accuracies: dict[str, dict[int, float]] = {}
    for trial in result["truth"]:
        accuracies.setdefault(trial["architecture"], {})[trial["seed"]] = trial["accuracy"]
    if not result["studies"]:
        return {"truth": [], "studies": [], "verdicts": {}}
    bare = result["studies"][0]["backbone"]
    rows = [_summarise_truth(accuracies, text, bare) for text in accuracies]
    studies = [_summarise_claims(accuracies, study) for study in result["studies"]]
    return {
        "truth": sorted(rows, key=lambda row: -row["accuracy"]),
        "studies": studies,
        "verdicts": {name: sum(s["verdict"] == name for s in studies) for name in VERDICTS},
    }


def _summarise_truth(accuracies: Mapping[str, Mapping[int, float]], text: str, bare: str) -> Result:
    values = [100 * accuracy for accuracy in accuracies[text].values()]
    gain = measure_difference(accuracies, Claim(text, bare))
    return {
        "architecture": text,
        "seeds": len(values),
        "accuracy": round(statistics.mean(values), 2),
        "deviation": round(statistics.stdev(values), 2) if len(values) > 1 else None,
        "gain": None if text == bare else gain["difference"],
        "gain_error": None if text == bare else gain["standard_error"],
    }


def _summarise_claims(accuracies: Mapping[str, Mapping[int, float]], study: Result) -> Result:
    claims = [Claim(**claim) for claim in study["claims"]]
    verdicts = [measure_difference(accuracies, claim)["verdict"] for claim in claims]
    return {
        "seed": study["seed"],
        "verdict": judge_study(claims, verdicts, study["backbone"]),
        "claims": len(claims),
        **{name: verdicts.count(name) for name in ("right", "unproven", "wrong")},
        "seconds": study["seconds"],
    }


class ResultFile:
    """The result so far, which is written after every study and every trial."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.result: Result = {
            "what": "studies of `make demo`, and the true accuracy of what they have confirmed",
            "busy": False,
            "environments": [],
            "studies": [],
            "truth": [],
        }
        if path is not None and path.exists():
            self.result = json.loads(path.read_text("utf-8"))
        self.result["new_images"] = NEW_IMAGES

    def write(self) -> None:
        """Write the result with its summary."""
        studies = self.result["studies"]
        precision = studies[0]["recipe"]["precision"] if studies else "float32"
        environment = describe_environment(torch.device("cpu"), precision)
        self.result["environment"] = environment
        if environment not in self.result["environments"]:
            self.result["environments"].append(environment)
        self.result["summary"] = summarise(self.result)
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as draft:
            draft.write_text(json.dumps(self.result, indent=1, ensure_ascii=False) + "\n", "utf-8")


def run_studies(file: ResultFile, seeds: int, deadline: float, *, anyway: bool) -> None:
    """Run the studies that are missing.

    Args:
        file: of the result.
        seeds: how many studies; their seeds count from 0.
        deadline: of `time.monotonic`; no study begins that would probably end after it.
        anyway: accept a busy machine.
    """
    studies = file.result["studies"]
    done = {study["seed"] for study in studies}
    for seed in (seed for seed in range(seeds) if seed not in done):
        expected = max((study["seconds"] for study in studies), default=0.0)
        if time.monotonic() + expected > deadline:
            return
        monitor = LoadMonitor.start(anyway=anyway)
        with tempfile.TemporaryDirectory(prefix="attentune-demo-") as folder:
            study = run_study(seed, Path(folder), monitor)
        file.result["busy"] |= monitor.finish()
        if studies and study["recipe"] != studies[0]["recipe"]:
            raise SystemExit(f"{file.path} was made with another recipe; move it away")
        studies.append(study)
        file.write()
        print(f"seed {seed}, {study['seconds']:.0f} s: {study['sentence']}", flush=True)


def run_truth(file: ResultFile, seeds: int, processes: int, deadline: float) -> None:
    """Train the trials of the truth that are missing, until a time of `time.monotonic`."""
    if time.monotonic() > deadline:
        return
    for trial in train_all(missing_truth_trials(file.result, seeds), processes):
        file.result["truth"].append(trial)
        file.write()
        print(f"{trial['architecture']} {trial['seed']}: {trial['accuracy']:.4f}", flush=True)
        if time.monotonic() > deadline:
            return


def main() -> None:
    """Run what is missing, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--studies", type=int, default=10, help="how many times to run the demo")
    parser.add_argument("--seeds", type=int, default=20, help="of the truth, per architecture")
    parser.add_argument("--processes", type=int, default=2, help="that train for the truth")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this time")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    file = ResultFile(options.json)
    run_studies(file, options.studies, deadline, anyway=options.anyway)
    run_truth(file, options.seeds, options.processes, deadline)
    file.write()
    print(json.dumps(file.result["summary"], indent=1, ensure_ascii=False))
    missing = len(missing_truth_trials(file.result, options.seeds))
    if missing or len(file.result["studies"]) < options.studies:
        raise SystemExit(
            f"{len(file.result['studies'])} of {options.studies} studies are done, and trials of "
            f"the truth are missing: {missing}; call again to continue"
        )


if __name__ == "__main__":
    main()
