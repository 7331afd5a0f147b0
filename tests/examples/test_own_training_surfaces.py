"""A search that a user's function trains, end to end, and what its report and its pages say."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import attentune
import command_line
import pytest
from attentune.studies.dashboard.pages import attention_maps, predictions
from attentune.studies.database.store import Store
from attentune.studies.outputs.missing_weights import explain_missing_weights

TRAINING = '''
def train(trial):
    """The error is a formula; the network is made and not trained."""
    size = sum(parameter.numel() for parameter in trial.model().parameters())
    for epoch in range(1, trial.epochs + 1):
        if not trial.report(epoch, error=2e6 / size / epoch + 0.1 * trial.seed):
            return None
    return {"error": 2e6 / size + 0.1 * trial.seed, "hausdorff": 3.0}
'''


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "millimetres.py").write_text(TRAINING)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = {"backbone": "test_resnet", "epochs": 2, "trials": 3, "workers": 1}
        return attentune.search(
            "mm",
            db=folder / "a.db",
            metric="error:min:mm",
            evaluate="millimetres.py:train",
            **settings,
        )


def test_a_function_trains_the_trials_of_a_study(study):
    assert [(trial.state, trial.epochs) for trial in study.trials] == [("complete", 2)] * 3
    assert len({trial.values["error"] for trial in study.trials}) == 3


def test_the_report_has_no_words_of_the_built_in_training(study, tmp_path):
    page = Path(study.report(tmp_path / "report.html")).read_text("utf-8")
    before, _, after = page.partition("Full configuration")
    page = before + after.partition("</pre>")[2]
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", page, flags=re.S)
    assert "which millimetres.py:train measures on its validation split" in " ".join(text.split())
    assert "start of the random generators" in text
    for word in ("held out", "augmentation", "balanced accuracy", "precision"):
        assert word not in text
    assert "Hausdorff" in text


def test_pages_about_images_and_weights_say_who_trains(study):
    with Store.open(study.db, read_only=True) as store:
        record = store.studies.get("mm")
        context = SimpleNamespace(state=SimpleNamespace(study=record))
        assert len(predictions.page(context)) == len(attention_maps.page(context)) == 1
        assert "millimetres.py:train" in str(attention_maps.page(context))
        trial = store.trials.read(record)[1]
        assert explain_missing_weights(store, record, trial) == (
            "trial 1 of 'mm' was trained by millimetres.py:train, and only that code can run its "
            "network; `attentune export mm --pick 1 -o DIR` writes the files that it has kept."
        )


def test_a_trial_is_shown_without_what_was_not_reported(study):
    folder = Path(study.db).parent
    output = command_line.attentune("show", "mm", "--trial", "1", "--db", "a.db", cwd=folder).stdout
    assert re.search(r"epoch +error +seconds", output)
    for word in ("nan", "train loss", "precision"):
        assert word not in output
