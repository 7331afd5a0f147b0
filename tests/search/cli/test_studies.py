"""list, show, rm."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from attentune.spaces.architecture import Architecture
from attentune.studies.database.store import Store
from command_line import attentune


def test_show_and_list_print_the_study_and_its_trials(finished):
    assert "test_resnet" in attentune("show", "first", cwd=finished).stdout
    listed = attentune("list", cwd=finished).stdout
    assert "first" in listed
    assert re.search(r"\b9\b", listed)
    trial = attentune("show", "first", "--trial", "1", cwd=finished).stdout
    assert "test_resnet+se(r=16,start=identity)@all.residual" in trial
    assert "torch" in trial
    assert re.search(r"params +[\d,]{7,}\s", trial), "counts have all their digits"


def test_trials_of_an_interrupted_search_are_not_said_to_run(run_here, tmp_path):
    with Store.open(tmp_path / "attentune.db", create=True) as store:
        study = store.studies.create(
            "first", backbone="resnet18", objectives=("accuracy", "params"), config={}, seed=0
        )
        lease = store.leases.acquire(study)
        store.trials.start(study, 0, Architecture("resnet18"), seed=0)
        assert "1 running" in run_here("show", "first")[1]
        store.leases.release(lease)
    assert "1 unfinished (resume continues them)" in run_here("show", "first")[1]
    assert "unfinished" in run_here("show", "first", "--trial", "0")[1]


def test_rm_removes_the_study_everywhere(finished, tmp_path):
    import optuna

    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    assert list((tmp_path / "attentune.artifacts").glob("*"))
    assert "--yes" in attentune("rm", "first", cwd=tmp_path, check=2).stderr
    attentune("rm", "first", "--yes", cwd=tmp_path)
    assert json.loads(attentune("list", "--json", cwd=tmp_path).stdout) == []
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/attentune.db") == []
    assert not list((tmp_path / "attentune.artifacts").glob("*"))


REFUSED = [
    ("show nothing --db empty.db", 1, "empty.db"),
]


@pytest.mark.parametrize(("command", "code", "sentence"), REFUSED, ids=[r[0] for r in REFUSED])
def test_bad_input_gets_a_sentence_and_an_exit_code(run_here, tmp_path, command, code, sentence):
    exit_code, printed = run_here(*command.split(" "))
    assert exit_code == code, printed
    assert sentence in printed
    assert not list(tmp_path.glob("*.artifacts/*"))


def test_the_trials_are_written_as_a_table(finished, tmp_path):
    path = tmp_path / "trials.csv"
    printed = attentune("export-table", "first", "-o", str(path), cwd=finished).stdout
    assert "Wrote 9 trials to" in printed
    header, *rows = path.read_text("utf-8").splitlines()
    assert header.startswith("number,architecture,key,seed,")
    assert "s1.attention" in header.split(",")
    assert len(rows) == 9
    assert (
        "use .csv" in attentune("export-table", "first", "-o", "x.y", cwd=finished, check=2).stderr
    )
