"""`attentune follow`, and `--follow` of the commands that run a study."""

from __future__ import annotations

import pytest
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store
from command_line import NET, SMALL, attentune


@pytest.fixture
def recorded(tmp_path):
    """A folder with the database of a study that has ended."""
    with Store.open(tmp_path / "attentune.db", create=True) as store:
        study = store.studies.create(
            "s", backbone="net", objectives=("accuracy",), config={}, seed=0
        )
        store.trials.start(study, 0, parse("net"), seed=0)
        store.trials.prune(study, 0, "behind")
    return tmp_path


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_recorded_study_is_logged_by_a_process_of_its_own(recorded):
    done = attentune("follow", "s", "--to", "tensorboard:logs", cwd=recorded)
    assert done.stdout.splitlines() == [
        "Logged 1 trial to tensorboard:logs",
        "View them with: tensorboard --logdir logs",
    ]
    assert "epochs" in scalars(recorded / "logs" / "s" / "0000 net, bare")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("follow", "s", "--to", "tensorbord:x"), 2, "did you mean 'tensorboard'?"),
        (("follow", "t", "--to", "tensorboard:x"), 1, "no study"),
        (("search", "t", *NET, *SMALL, "--follow", "runs"), 2, "names no experiment tracker"),
        (("resume", "s", "--follow", "mlflow:"), 2, "nothing follows the colon"),
        (("confirm", "s", "--follow", "x"), 2, "names no experiment tracker"),
    ],
)
def test_a_wrong_tracker_is_one_sentence(recorded, words, code, message):
    done = attentune(*words, cwd=recorded, check=code)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_search_is_logged_while_it_runs_and_a_resumed_one_continues(tmp_path):
    words = ("--follow", "tensorboard:runs")
    attentune("search", "s", *NET, *SMALL, "--trials", "2", *words, cwd=tmp_path)
    attentune("resume", "s", "--trials", "3", *words, cwd=tmp_path)
    attentune("confirm", "s", "--seeds", "2", "--epochs", "1", "--top", "1", *words, cwd=tmp_path)
    folder = tmp_path / "runs" / "s"
    runs = {
        path.name.partition(" ")[0]: scalars(path) for path in folder.iterdir() if path.is_dir()
    }
    assert runs["0000"]["val/accuracy"] == list(range(1, 9))
    assert runs["study"]["front/size"] == [1, 2, 3]
    assert {"0001", "0002", "1000000"} < set(runs)
    assert runs["1000000"]["test_accuracy"] == [1]
