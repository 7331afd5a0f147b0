"""The winner as a model that people use: weights, the architecture, a model card; and back.

A folder written by `export` holds `model.safetensors`, `architecture.json` and a `README.md`.
`load` builds the network from it and gives the outputs that the trial's model gave.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from ... import __version__
from ...errors import ArchitectureError, StoreError, StudyError, UsageError
from ...runners.data import load_data
from ...runners.results import WEIGHTS_FILE
from ...spaces.architecture import Architecture, parse
from ...spaces.attentions.plugins.register import REMEDY, describe_missing, origins_of
from ...spaces.attentions.registry import offered
from ...spaces.networks.build import build_network
from ..analysis import analyse
from ..database.store import Store
from ..missing_attentions import require_attentions
from ..records import CONFIRM, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURE = "architecture.json"
CARD = "README.md"
FORMAT = 1


def pick_trial(store: Store, record: StudyRecord, pick: str) -> TrialRecord:
    """The trial that `best`, `knee` or a number means; StudyError if there is none to take."""
    if pick.isdecimal():
        trial = store.trials.get(record, int(pick))
        if trial.state != "complete":
            raise StudyError(f"trial {pick} of {record.name!r} is {trial.state}, not complete.")
        return trial
    if pick not in ("best", "knee"):
        raise UsageError(f"--pick takes best, knee or a trial's number, not {pick!r}")
    found = analyse.analyse(record, store.trials.read(record))
    point = found.best if pick == "best" else found.knee
    if point is None:
        raise StudyError(f"{record.name!r} has no complete trial to export yet.")
    return store.trials.get(record, point.number)


def export(store: Store, record: StudyRecord, trial: TrialRecord, folder: Path) -> Path:
    """Write a complete trial's model into a new folder, all or nothing; the folder.

    StudyError if the trial has somebody's attention that is not installed here; StoreError if the
    folder exists and is not empty, cannot be written, or the trial's weights are gone.
    """
    attentions = [insertion.attention for insertion in trial.parsed.insertions]
    require_attentions(record, f"trial {trial.number} of {record.name!r}", attentions)
    weights = store.trial_folder(record, trial.number) / WEIGHTS_FILE
    if not weights.is_file():
        raise StoreError(f"the weights of trial {trial.number} are gone from {store.artifacts}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} exists and is not empty; choose another folder with -o.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror}; choose another -o.") from None
    try:
        building.chmod(0o755)
        facts = describe(record, trial)
        shutil.copyfile(weights, building / WEIGHTS_FILE)
        (building / ARCHITECTURE).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        (building / CARD).write_text(_card(facts), "utf-8")
        if folder.exists():
            folder.rmdir()
        building.replace(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def describe(record: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    """What `architecture.json` holds: all that it takes to build and feed the network."""
    recipe = record.config.recipe
    recipe = recipe.model_copy(update={"epochs": trial.epochs})  # a confirming trial has more
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

    It takes normalised pictures (N, 3, S, S) and gives logits (N, classes); its attribute
    `attentune` holds the contents of `architecture.json`: `classes`, `image_size`, `mean`, `std`.
    StoreError if the folder is no export, if it needs somebody's attention that is not installed,
    or if its weights do not fit.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / ARCHITECTURE).read_text("utf-8"))
        if facts["format"] > FORMAT:
            raise StoreError(f"{folder} was exported by attentune {facts['attentune']}; upgrade.")
        architecture = _parse(folder, facts)
        settings = {name: facts[name] for name in ("num_classes", "stem", "image_size")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder} is no exported model ({type(error).__name__}: {error}); make one with "
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
    """The architecture; StoreError with the origins of people's own attention that is missing."""
    plugins = facts.get("plugins", {})
    if missing := {name: where for name, where in plugins.items() if not offered(name)}:
        raise StoreError(f"{folder} needs {describe_missing(missing)}; {REMEDY}.")
    try:
        return parse(facts["architecture"])
    except ArchitectureError as error:
        raise StoreError(f"{folder} holds an architecture that is none here: {error}") from None


def _card(facts: dict[str, Any]) -> str:
    template = jinja2.Template(_TEMPLATE, trim_blocks=True, lstrip_blocks=True)
    values = facts["values"]
    return str(template.render(**{**facts, "accuracy": values["accuracy"], "values": values}))


_TEMPLATE = """\
# {{ architecture }}

An image classifier over {{ num_classes }} classes, found by attentune {{ attentune }} in the study
`{{ study }}` (trial {{ trial }}, seed {{ seed }}) on `{{ data }}`.

| | |
|---|---|
| {{ judged_on }} accuracy | {{ "%.2f"|format(100 * accuracy) }} % after {{ epochs }} epochs |
| parameters | {{ "{:,}".format(values["params"]) }} |
| multiply-adds | {{ "{:,}".format(values["macs"]) }} at {{ image_size }}×{{ image_size }} |
{% if "latency_ms" in values %}
| latency | {{ "%.3g"|format(values["latency_ms"]) }} ms, one picture |
{% endif %}

{% if judged_on == "test" %}
The accuracy is that of this one training on pictures that selected nothing; others of the same
architecture scatter around their mean (`attentune confirm`).
{% else %}
The accuracy selected this model among others, so it is optimistic: test it on pictures that the
search has not seen before you rely on it. A search trains briefly; train the architecture longer
for use.
{% endif %}

```python
import attentune, numpy as np, torch
from PIL import Image

model = attentune.load(".")
info = model.attentune
size, mean, std = info["image_size"], torch.tensor(info["mean"]), torch.tensor(info["std"])
picture = Image.open("picture.png").convert("RGB").resize((size, size))
x = torch.from_numpy(np.array(picture)) / 255
logits = model(((x - mean) / std).permute(2, 0, 1)[None])
print(info["classes"][logits.argmax()])
```

The same network without these weights, for a training script of your own:
`attentune.create_model("{{ architecture }}", num_classes={{ num_classes }}\
{% if stem != "native" %}, stem="{{ stem }}"{% endif %})`.
"""
