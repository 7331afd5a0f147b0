"""What tests of the examples share: a tiny search, and one trial that is interrupted."""

from __future__ import annotations

from pathlib import Path

import attentune
import pytest
import torch
from attentune.named_objects import add_import_folder
from attentune.runners.events import Decision, EpochDone, Finished, Stopped
from attentune.runners.recipe import Recipe
from attentune.runners.results import UNMOVED_ATTENTIONS, Costs, Job
from attentune.runners.user_evaluation import UserEvaluation
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse

ROOT = Path(attentune.__file__).resolve().parent
EXAMPLES = ROOT / "examples"
DIGITS = {"backbone": "test_resnet", "in_chans": 1, "image_size": 32, "num_classes": 10}


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Runs a tiny search with workers of its own, and one trial more after a resume."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(EXAMPLES)

    def search(evaluate, metric="accuracy", trials=3, epochs=2, **settings):
        study = attentune.search(
            "example",
            evaluate=evaluate,
            metric=metric,
            db=tmp_path / "attentune.db",
            trials=trials - 1,
            epochs=epochs,
            workers=1,
            **({} if "backbone" in settings else DIGITS),
            **settings,
        )
        study.resume(trials=trials)
        check(study.trials, trials, epochs)
        return study

    return search


def check(trials, count, epochs):
    """All trials were trained, with their attention, and it makes a difference."""
    assert [(t.state, t.epochs) for t in trials] == [("complete", epochs)] * count
    metric = next(iter(trials[0].values))
    assert len({trial.values[metric] for trial in trials}) > 1
    assert len({trial.values["params"] for trial in trials}) > 1


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Runs one trial in this process."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def play(target, folder="trial", decisions=None, metric="accuracy", text="", **fields):
        """All events of a trial; it has trained the attentions if it is complete.

        Args:
            target: a function or a command.
            folder: for the files of the trial.
            decisions: after epochs.
            metric: that is searched for.
            text: of the architecture.
            fields: of the recipe.
        """
        add_import_folder(EXAMPLES)
        evaluation = UserEvaluation(
            target=target,
            kind="function" if ".py:" in target or target.isidentifier() else "command",
            folder=str(ROOT),
            metrics=(metric,),
        )
        recipe = Recipe.of(**{"data": "", "epochs": 2, "image_size": 32, "in_chans": 1, **fields})
        job = Job(
            1,
            parse(text or "test_resnet+se(r=4,start=identity)@s3-s4.residual"),
            recipe,
            0,
            tmp_path / folder,
            num_classes=10,
            evaluation=evaluation,
            metric=evaluation.searched.key,
            costs=Costs(1, 1),
        )
        events = []

        def send(event):
            events.append(event)
            epoch = event.report.epoch if isinstance(event, EpochDone) else None
            return (decisions or {}).get(epoch, Decision.GO_ON)

        run_trial(job, send, device=torch.device("cpu"))
        end = events[-1]
        assert isinstance(end, Finished | Stopped), end
        if isinstance(end, Finished):
            assert UNMOVED_ATTENTIONS not in end.result.environment
        return events

    return play


@pytest.fixture
def check_interruption(play):
    """Checks that a trial which was interrupted equals one that was not."""

    def check_interruption(target, **fields):
        whole = play(target, "whole", **fields)
        parts = play(target, "parts", {1: Decision.PAUSE}, **fields)
        assert isinstance(parts[-1], Stopped)
        parts += play(target, "parts", **fields)
        assert curve(parts) == curve(whole)
        assert parts[-1].result.metrics == whole[-1].result.metrics
        assert parts[-1].result.accuracy == pytest.approx(whole[-1].result.accuracy, nan_ok=True)

    return check_interruption


def curve(events):
    """Epochs and scores that were reported."""
    return [(e.report.epoch, e.report.score) for e in events if isinstance(e, EpochDone)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the warnings of the libraries: pytest's parallel runner imports the modules of
    their classes, which fails where torchvision does not fit torch."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
