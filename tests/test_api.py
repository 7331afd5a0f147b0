"""The public API: small, typed, loaded lazily, and each name with an example that runs."""

from __future__ import annotations

import inspect
import logging
import re
import subprocess
import sys
from pathlib import Path

import attentune
import numpy as np
import pandas
import plotly.graph_objects as go
import pytest
from attentune.runners.classification_metrics import compute_metrics
from attentune.runners.metrics import METRICS

PAGE = Path(attentune.__file__).resolve().parent / "docs" / "api.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the page's examples have defined, after all of them ran in an empty folder."""
    names: dict = {"__name__": "__main__"}
    root, logger = logging.getLogger(), logging.getLogger("attentune")
    handlers, level = root.handlers[:], logger.level
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("api"))
        patch.setattr("attentune.spaces.attentions.plugins.register._registered", {})
        for example in EXAMPLES:
            exec(compile(example, str(PAGE), "exec"), names)
        names["folder"] = Path.cwd()
        names["again"] = names["study"].to_json()
        names["frame"] = names["study"].to_pandas()
    root.handlers[:] = handlers
    logger.setLevel(level)
    return names


def test_every_public_name_has_an_example():
    code = "\n".join(EXAMPLES)
    assert {name for name in attentune.__all__ if f"attentune.{name}" not in code} == set()


def test_the_examples_run_a_study_from_search_to_a_loaded_model(namespace):
    assert namespace["again"]["counts"]["complete"] == 8
    assert namespace["model"].attentune["study"] == "mine"
    assert (namespace["folder"] / "report.html").stat().st_size > 100_000


def test_metrics_of_a_study_follow_from_its_predictions(namespace):
    predictions, frame = namespace["predictions"], namespace["frame"]
    best = frame.loc[frame["accuracy"] == predictions.accuracy]
    assert np.isclose(best["log_loss"], compute_metrics(predictions)["log_loss"]).any()
    assert set(METRICS) <= set(frame.columns)
    assert frame.loc[0, "balanced_accuracy"] > 0


def test_a_study_answers_as_the_command_line_does(namespace):
    study, listed = namespace["study"], namespace["again"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(namespace["folder"])
        assert [trial.number for trial in study.trials] == [t["number"] for t in listed["trials"]]
        assert sorted(summary.number for summary in study.front) == listed["pareto"]
        assert study.baseline.number == listed["baseline"]
        assert study.best in study.findings.architectures
        assert study.summary == listed["summary"]
        assert study.confirmation is None
        with pytest.raises(attentune.AttentuneError, match="mine"):
            attentune.search("mine", backbone="test_resnet", data="digits", db="mine.db")


def test_figures_are_plotly_figures_by_name(namespace):
    figures = namespace["figures"]
    assert {"pareto-params", "heatmap", "learning-curves", "main-effects"} <= set(figures)
    assert all(isinstance(figure, go.Figure) for figure in figures.values())


def test_a_data_frame_has_a_row_for_each_trial(namespace):
    frame = namespace["frame"]
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 8
    assert frame.loc[0, "architecture"] == "test_resnet"
    assert frame["accuracy"].between(0, 1).all()


def test_the_signature_of_search_names_its_arguments():
    parameters = inspect.signature(attentune.search).parameters
    assert {"name", "backbone", "data", "config", "db", "callbacks"} <= set(parameters)


def test_an_unknown_setting_names_the_closest(tmp_path):
    with pytest.raises(attentune.AttentuneError, match=r"'epoch'.*did you mean 'epochs'"):
        attentune.search("x", backbone="test_resnet", data="digits", db=tmp_path / "a.db", epoch=1)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("callback", [print, attentune.Callback])
def test_what_is_no_callback_is_refused_before_the_search(tmp_path, callback):
    with pytest.raises(attentune.AttentuneError, match=r"is no callback; pass objects"):
        attentune.search(
            "x",
            backbone="test_resnet",
            data="digits",
            db=tmp_path / "a.db",
            callbacks=[callback],
        )
    assert not (tmp_path / "a.db").exists()


def test_a_study_that_is_missing_is_a_stated_failure(namespace, tmp_path):
    with pytest.raises(attentune.AttentuneError, match=r"no study 'mini'.*did you mean 'mine'"):
        attentune.open_study("mini", db=namespace["folder"] / "mine.db")
    with pytest.raises(attentune.AttentuneError, match="there is no database"):
        attentune.open_study("mine", db=tmp_path / "none.db")


def run_script(folder: Path, guard: str, trials: int) -> subprocess.CompletedProcess[str]:
    """Run a script that searches, with this line before the call."""
    script = folder / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "import attentune\n"
        f"{guard}\n"
        "    attentune.search('a', backbone='test_resnet', data='digits', db='a.db',\n"
        f"        trials={trials}, "
        "epochs=1, image_size=16, train_limit=100, batch_size=32, lr=0.01, workers=1,\n"
        "        precision='float32', memory_format='contiguous', device='cpu')\n"
        "    print('done')\n"
    )
    return subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True)


def test_a_script_without_a_guard_is_told_so(tmp_path):
    done = run_script(tmp_path, "if True:", trials=2)
    assert done.returncode != 0
    assert 'put the search under `if __name__ == "__main__":`' in done.stderr
    assert "done" not in done.stdout


def test_a_script_with_a_guard_searches(tmp_path):
    done = run_script(tmp_path, 'if __name__ == "__main__":', trials=1)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_the_library_is_silent_unless_asked(namespace, capfd):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(namespace["folder"])
        attentune.open_study("mine", db="mine.db").resume(trials=8)
    assert capfd.readouterr().out == ""


def test_reading_a_study_imports_no_torch(namespace):
    code = (
        "import attentune, sys; study = attentune.open_study('mine', db='mine.db');"
        "study.summary, study.front, study.figures(), study.to_pandas();"
        "assert not {'torch', 'timm', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=namespace["folder"], check=True)
