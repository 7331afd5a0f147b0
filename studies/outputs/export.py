"""Export a trial as a model, and load it again.

An exported folder holds `model.safetensors`, `architecture.json` and a model card, `README.md`.
`load` builds the network from it; its outputs are those of the trial's model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from ... import __version__
from ...errors import ArchitectureError, StoreError, StudyError, UsageError
from ...files import draft_path, make_folder, replace_folder
from ...runners.data import load_data
from ...runners.results import WEIGHTS_FILE
from ...spaces.architecture import Architecture, parse
from ...spaces.attentions.plugins.register import REMEDY, describe_missing, origins_of
from ...spaces.attentions.registry import is_available
from ...spaces.networks.build import build_network
from ..analysis import analyse
from ..database.store import Store
from ..missing_attentions import require_attentions
from ..objectives import OBJECTIVES
from ..records import CONFIRM, StudyRecord, TrialRecord
from ..text import formatting

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURE_FILE = "architecture.json"
MODEL_CARD_FILE = "README.md"
FORMAT = 1
"""The version of `architecture.json`."""


def pick_trial(store: Store, record: StudyRecord, pick: str) -> TrialRecord:
    """The trial to export.

    Args:
        store: the database.
        record: the study.
        pick: `best`, `knee`, or the number of a trial.

    Raises:
        StudyError: there is no such trial, or it is not complete.
        UsageError: `pick` is something else.
    """
    if pick.isdecimal():
        trial = store.trials.get(record, int(pick))
        if trial.state != "complete":
            raise StudyError(f"trial {pick} of {record.name!r} is {trial.state}, not complete.")
        return trial
    if pick not in ("best", "knee"):
        raise UsageError(f"--pick takes best, knee or a trial's number, not {pick!r}")
    findings = analyse.analyse(record, store.trials.read(record))
    summary = findings.best if pick == "best" else findings.knee
    if summary is None:
        raise StudyError(f"{record.name!r} has no complete trial to export yet.")
    return store.trials.get(record, summary.number)


def export(store: Store, record: StudyRecord, trial: TrialRecord, folder: Path) -> Path:
    """Write the model of a complete trial to a new folder, which appears only when it is complete.

    Args:
        store: the database.
        record: the study.
        trial: the trial.
        folder: must not exist, or be empty.

    Returns:
        The folder.

    Raises:
        StudyError: the trial has a plug-in's attention that is not installed.
        StoreError: the folder is not empty or cannot be written, or the weights are missing.
    """
    attentions = [insertion.attention for insertion in trial.parsed.insertions]
    require_attentions(record, f"trial {trial.number} of {record.name!r}", attentions)
    weights = store.trial_file(record, trial.number, WEIGHTS_FILE)
    if not weights.is_file():
        raise StoreError(
            f"the weights of trial {trial.number} are missing in {store.artifacts}; choose another "
            "trial."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} exists and is not empty; choose another folder.")
    facts = describe(record, trial)
    draft = draft_path(folder.absolute())
    try:
        make_folder(draft)
        shutil.copyfile(weights, draft / WEIGHTS_FILE)
        (draft / ARCHITECTURE_FILE).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        (draft / MODEL_CARD_FILE).write_text(model_card(facts), "utf-8")
        replace_folder(draft, folder)
    except OSError as error:
        raise StoreError(
            f"cannot write {folder}: {error.strerror or error}; choose another folder."
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def describe(record: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    """The contents of `architecture.json`: what is needed to build the network and feed it."""
    recipe = record.config.recipe
    recipe = recipe.model_copy(update={"epochs": trial.epochs})  # A confirming trial has more.
    data = load_data(recipe)
    return {
        "format": FORMAT,
        "attentune": __version__,
        "architecture": trial.architecture,
        "plugins": origins_of(i.attention for i in parse(trial.architecture).insertions),
        "key": trial.key,
        "num_classes": len(data.classes),
        "classes": list(data.classes),
        "image_size": recipe.image_size,
        "stem": recipe.stem,
        "mean": list(data.mean),
        "std": list(data.std),
        "study": record.name,
        "trial": trial.number,
        "seed": trial.seed,
        "data": data.name,
        "epochs": trial.epochs,
        "judged_on": "test" if trial.role == CONFIRM else "validation",
        "values": trial.values,
        "recipe": recipe.model_dump(mode="json"),
    }


def load(folder: str | Path) -> nn.Module:
    """The network of an exported folder, on the CPU in evaluation mode.

    It takes normalised images (N, 3, S, S) and returns logits (N, classes). Its attribute
    `attentune` holds the contents of `architecture.json`: `classes`, `image_size`, `mean`, `std`.

    Raises:
        StoreError: the folder is not an export, needs a plug-in's attention that is not installed,
            or its weights do not fit.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / ARCHITECTURE_FILE).read_text("utf-8"))
        if facts["format"] > FORMAT:
            raise StoreError(f"{folder} was exported by attentune {facts['attentune']}; upgrade.")
        architecture = _parse(folder, facts)
        settings = {name: facts[name] for name in ("num_classes", "stem", "image_size")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder} is not an exported model ({type(error).__name__}: {error}); make one with "
            "`attentune export`."
        ) from None
    from safetensors.torch import load_file

    model = build_network(architecture, seed=None, **settings)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"the weights in {folder} do not load: {reason}") from None
    model.eval()
    model.attentune = facts
    return model


def _parse(folder: Path, facts: dict[str, Any]) -> Architecture:
    """The architecture; StoreError names the plug-ins whose attentions are missing."""
    plugins = facts.get("plugins", {})
    if missing := {name: origin for name, origin in plugins.items() if not is_available(name)}:
        raise StoreError(f"{folder} needs {describe_missing(missing)}; {REMEDY}.")
    try:
        return parse(facts["architecture"])
    except ArchitectureError as error:
        raise StoreError(
            f"{folder} holds an architecture that this version cannot read: {error}"
        ) from None


def model_card(facts: dict[str, Any]) -> str:
    """The model card of an export, in Markdown, from the contents of `architecture.json`."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = facts["values"]
    return templates.get_template("model_card.md").render(
        **facts,
        accuracy=values["accuracy"],
        latency=formatting.cost(values.get("latency_ms"), OBJECTIVES["latency"]),
        formatting=formatting,
    )
