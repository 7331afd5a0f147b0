"""The settings of a study as its row in the database holds them, each parsed when it is needed."""

from __future__ import annotations

import contextlib
import itertools
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import StudyError
from ..runners.artifacts.location import parse_location
from ..runners.recipe import MAX_SEED, Recipe
from ..sanitize import MAX_COMMAND_LENGTH, clean_text
from .alternatives import AlternativesPlan, alternative_kind
from .config import Pruning, RunPlan, StudyConfig
from .objectives import BY_KEY

MAX_STAGES = 1000
MAX_CLASSES = 10_000_000
SEEDS_PER_SPLIT = 1000
"""The most seeds of a confirmation, and the distance of the first seeds of two splits."""
MAX_SPLITS = 100
Model = TypeVar("Model")


@dataclass(frozen=True)
class ConfirmPlan:
    """What a confirmation retrains, and how.

    Attributes:
        architectures: their texts, in the order in which they were chosen.
        top: finalists that were asked for.
        seeds: fresh seeds for each architecture.
        epochs: of a confirming trial.
        searched_epochs: of a trial of the search.
        splits: numbers of train, validation and test splits, each with fresh seeds of its own.
        first_seed: of the first split; each further split begins `SEEDS_PER_SPLIT` later.
        train_images, test_images: of a split; None in the plans of older versions.
        majority_share: of the most frequent class among the test images; None likewise.
        alternatives: whether the alternatives to attention are confirmed too, on the first split.
        class_counts: test images of each class; None if they are not known, or of many classes.
    """

    architectures: tuple[str, ...]
    top: int
    seeds: int
    epochs: int
    searched_epochs: int
    splits: Annotated[int, Field(ge=1, le=MAX_SPLITS)] = 1
    first_seed: Annotated[int, Field(ge=0)] = 0
    train_images: Annotated[int, Field(ge=1)] | None = None
    test_images: Annotated[int, Field(ge=1)] | None = None
    majority_share: Annotated[float, Field(ge=0, le=1)] | None = None
    alternatives: bool = False
    class_counts: tuple[Annotated[int, Field(ge=0)], ...] | None = None

    def split_of(self, seed: int) -> int:
        """The split that a trial with this seed is trained and evaluated on, counted from 0."""
        if self.splits == 1:
            return 0
        return min(max(0, (seed - self.first_seed) // SEEDS_PER_SPLIT), self.splits - 1)

    def seed_of(self, split: int, number: int) -> int:
        """The seed with this number in a split, both counted from 0."""
        return self.first_seed + split * SEEDS_PER_SPLIT + number

    def recipe_of(self, recipe: Recipe, seed: int) -> Recipe:
        """The recipe of a confirming trial: it chooses the images of the trial's split.

        Args:
            recipe: of the first split, which is that of the search.
            seed: of the trial.
        """
        split = self.split_of(seed)
        if not split:
            return recipe
        if recipe.fold is not None:
            return recipe.model_copy(update={"fold": recipe.fold_after(split)})
        data_seed = (recipe.data_seed + split) % (MAX_SEED + 1)
        return recipe.model_copy(update={"data_seed": data_seed})

    def stored_in(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the JSON of a study in which its confirmation has this plan."""
        return {**config, "confirm": asdict(self)}


@dataclass(frozen=True)
class ExpectedGain:
    """A forecast: what the next trials will add to the accuracy of the recommended architecture.

    Attributes:
        after: the number of complete and pruned trials when it was made.
        trials: the number of further trials.
        mean: the expected gain of the score, a fraction of an accuracy; never negative.
        deviation: standard deviation of the gain.
    """

    after: int
    trials: int
    mean: float
    deviation: float

    def stored_in(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the JSON of a study with this forecast after the earlier ones."""
        earlier = config.get("expected_gains")
        earlier = earlier if isinstance(earlier, list) else []
        return {**config, "expected_gains": [*earlier, list(astuple(self))]}


@dataclass(frozen=True)
class StoredConfig:
    """What the column `config` of a study holds.

    The JSON has the keys `study` (a `StudyConfig`), `plan` (a `RunPlan`), `plugins` (the origins of
    the user's own attentions), `command` (what created the study), once a search has run for a
    while, `expected_gains` (the values of an `ExpectedGain` each) and, once a confirmation was
    begun, `confirm` (a `ConfirmPlan`); `alternatives` (an `AlternativesPlan`) once they are
    decided. While a study is being set up, it has `request` in place of
    `study`, `plan` and `plugins`; see `search/run/study_setup.py`. `artifacts` is there if the
    study keeps its artifacts in another folder than its database.

    A study has to be viewable even if another version of attentune wrote it, or if its plug-ins are
    not installed here. So nothing is parsed when a study is read. `study`, `plan`, `recipe` and
    `confirmation` are parsed when they are first asked for, and raise a StudyError that names the
    version that wrote them. The other properties read a single field, and are None or empty where
    it is missing.

    Attributes:
        json: the whole content, unchanged.
        study_name, version: of the study, and of the attentune that created it; for messages.
    """

    json: Mapping[str, Any]
    study_name: str = field(default="", compare=False)
    version: str = field(default="", compare=False)

    @property
    def is_being_set_up(self) -> bool:
        """Whether the study has only been requested: what was left open is not decided yet."""
        return "request" in self.json and "study" not in self.json

    @property
    def artifacts(self) -> str | None:
        """The folder or URL at which the study keeps its artifacts; None: that of its database."""
        stored = self.json.get("artifacts")
        if not isinstance(stored, str):
            return None
        with contextlib.suppress(ValueError, OSError, RuntimeError):
            return (
                stored if Path(stored).is_absolute() or parse_location(stored) == stored else None
            )
        return None

    @cached_property
    def study(self) -> StudyConfig:
        """What never changes about the study. Its attentions have to be installed here."""
        return self._parse(StudyConfig, self.json.get("study"))

    @cached_property
    def plan(self) -> RunPlan:
        """How far to run the study, and on what."""
        return self._parse(RunPlan, self.json.get("plan"))

    @cached_property
    def recipe(self) -> Recipe:
        """How the trials of the search were trained. No attention need be installed for it."""
        return self._parse(Recipe, self._study_field("recipe"))

    @cached_property
    def pruning(self) -> Pruning:
        """When trials are stopped early. No attention need be installed for it."""
        return self._parse(Pruning, self._study_field("pruning") or {})

    @cached_property
    def confirmation(self) -> ConfirmPlan | None:
        """What is confirmed, and how; None if no confirmation was begun."""
        stored = self.json.get("confirm")
        if stored is None:
            return None
        return self._parse(ConfirmPlan, stored)

    @cached_property
    def alternatives(self) -> AlternativesPlan:
        """The alternatives to attention that are trained; empty if none were asked for."""
        stored = self.json.get("alternatives")
        return AlternativesPlan() if stored is None else self._parse(AlternativesPlan, stored)

    def recipe_of(self, role: str, epochs: int | None = None, seed: int | None = None) -> Recipe:
        """The recipe of a trial of the study.

        Args:
            role: of the trial; alternatives have recipes of their own.
            epochs: of the trial, if they are not those of its recipe; confirming trials have more.
            seed: of the trial, which determines the split of a confirming trial.
        """
        alternative = self.alternatives.get(alternative_kind(role))
        recipe = self.recipe if alternative is None else alternative.recipe(self.recipe)
        if seed is not None and role.partition(":")[0] == "confirm" and self.confirmation:
            recipe = self.confirmation.recipe_of(recipe, seed)
        return recipe if epochs is None else recipe.model_copy(update={"epochs": epochs})

    @property
    def expected_gains(self) -> tuple[ExpectedGain, ...]:
        """The forecasts of the search, in the order in which they were made."""
        stored = self.json.get("expected_gains")
        rows = stored if isinstance(stored, list) else []
        return tuple(forecast for row in rows if (forecast := _read_forecast(row)) is not None)

    @property
    def settings_json(self) -> dict[str, Any]:
        """The whole content but for the forecasts, which are results."""
        return {name: value for name, value in self.json.items() if name != "expected_gains"}

    @property
    def plan_if_readable(self) -> RunPlan | None:
        """The plan; None if it cannot be read here, so that the study can be viewed."""
        try:
            return self.plan
        except StudyError:
            return None

    @property
    def cost_ceilings(self) -> Mapping[str, float]:
        """By key, the highest cost that an architecture can have: the lower of the limit and of
        what the most expensive architecture of the space has, as far as they are known."""
        limits, largest = (
            _read_costs(self._study_field(name)) for name in ("limits", "largest_costs")
        )
        known = (limits.items(), largest.items())
        return {
            key: min(limits.get(key, math.inf), largest.get(key, math.inf))
            for key, _ in itertools.chain(*known)
        }

    @property
    def limits(self) -> Mapping[str, float]:
        """The upper bounds on costs, by the key of the cost."""
        limits = _read_costs(self._study_field("limits"))
        return {key: limit for key, limit in limits.items() if key in BY_KEY}

    @property
    def stages(self) -> int | None:
        """The number of stages of the backbone."""
        stages = self._study_field("stages")
        return stages if isinstance(stages, int) and 0 < stages < MAX_STAGES else None

    @property
    def num_classes(self) -> int | None:
        """The number of classes of the data."""
        classes = self._study_field("num_classes")
        return classes if type(classes) is int and 0 < classes < MAX_CLASSES else None

    @property
    def evaluation(self) -> str | None:
        """The user's own function or command that trains the trials; None: the recipe does."""
        evaluation = self._study_field("evaluation")
        target = evaluation.get("target") if isinstance(evaluation, Mapping) else None
        return clean_text(target, one_line=True) if isinstance(target, str) else None

    @property
    def attentions(self) -> tuple[str, ...]:
        """The names in the study's space, `none` among them, whether they are installed or not."""
        space = self._study_field("space")
        names = space.get("attentions") if isinstance(space, Mapping) else None
        names = names if isinstance(names, list | tuple) else ()
        return tuple(clean_text(name, one_line=True) for name in names if isinstance(name, str))

    @property
    def plugins(self) -> Mapping[str, str]:
        """Where the user's own attentions came from, by name."""
        plugins = self.json.get("plugins")
        origins = plugins if isinstance(plugins, Mapping) else {}
        return {name: clean_text(text) for name, text in origins.items() if isinstance(text, str)}

    @property
    def command(self) -> str | None:
        """The command line that created the study."""
        command = self.json.get("command")
        return clean_text(command, MAX_COMMAND_LENGTH) if isinstance(command, str) else None

    def _study_field(self, name: str) -> Any:
        study = self.json.get("study")
        return study.get(name) if isinstance(study, Mapping) else None

    def _parse(self, model: type[Model], stored: Any) -> Model:
        try:
            return TypeAdapter(model).validate_python(stored)
        except (ValidationError, RecursionError):
            raise self._unreadable() from None

    def _unreadable(self) -> StudyError:
        if self.is_being_set_up:
            return StudyError(
                f"the study {self.study_name!r} is still being set up and has no trials; if that "
                f"was interrupted, `attentune resume {shlex.quote(self.study_name)}` continues it."
            )
        return StudyError(
            f"the configuration of {self.study_name!r} cannot be read; it was written by attentune "
            f"{self.version}. Use that version to continue with it."
        )


def _read_costs(stored: Any) -> dict[str, float]:
    """Positive costs by key; empty for what another program has put there."""
    costs = stored.items() if isinstance(stored, Mapping) else ()
    return {
        str(key): float(cost)
        for key, cost in costs
        if type(cost) in (int, float) and 0 < cost < math.inf
    }


def _read_forecast(row: Any) -> ExpectedGain | None:
    """A stored forecast; None for what another program has put there."""
    if not isinstance(row, list | tuple) or len(row) != len(fields(ExpectedGain)):
        return None
    if not all(type(value) in (int, float) and math.isfinite(value) for value in row):
        return None
    after, trials, mean, deviation = row
    if min(row) < 0 or not float(after + trials).is_integer():
        return None
    return ExpectedGain(int(after), int(trials), float(mean), float(deviation))
