"""confirm: real trials with fresh seeds, judged on the test split."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from command_line import attentune


def test_a_confirmation_judges_on_the_test_split_and_says_what_can_be_claimed(finished):
    import torch
    from attentune import load
    from attentune.runners.data import load_data
    from attentune.runners.recipe import Recipe
    from attentune.runners.training.device_data import DeviceData, DeviceImages
    from attentune.runners.training.evaluation import evaluate

    words = ["confirm", "first", "--top", "1", "--seeds", "2", "--epochs", "3"]
    done = attentune(*words, cwd=finished)
    assert "2 fresh seeds × 3 epochs" in done.stdout
    assert "95 % interval" in done.stdout
    claim = r"better than the bare backbone|no accuracy is above chance"
    assert re.search(claim, done.stdout)
    summary = json.loads(attentune("confirm", "first", "--json", cwd=finished).stdout)
    shown = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    assert shown["confirmation"] == summary
    assert shown["counts"]["complete"] == len(shown["trials"]) == 9
    assert summary["sentence"] in done.stdout.replace("\n", " ")
    assert any(c["finalist"] for c in summary["contenders"])
    assert all(len(set(c["seeds"])) == 2 for c in summary["contenders"])
    assert "Confirmation: " in attentune("show", "first", cwd=finished).stdout

    number, accuracy = (summary["contenders"][0][key][0] for key in ("trials", "accuracies"))
    attentune("export", "first", "--pick", str(number), "-o", "confirmed", cwd=finished)
    facts = json.loads((finished / "confirmed" / "architecture.json").read_text())
    assert (facts["judged_on"], facts["epochs"], facts["recipe"]["epochs"]) == ("test", 3, 3)
    recipe = Recipe.of(**facts["recipe"])
    dataset = load_data(recipe)
    cpu = torch.device("cpu")
    test = DeviceImages.of(dataset.test, cpu)
    data = DeviceData.of(dataset, cpu)
    assert evaluate(load(finished / "confirmed"), data, recipe, test).accuracy == accuracy
    refused = attentune("confirm", "first", "--epochs", "5", cwd=finished, check=1)
    assert "confirmed with 3 epochs already" in refused.stderr


@pytest.mark.slow
def test_a_confirmation_with_two_devices_a_trial_is_interrupted_and_goes_on(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "copy")
    words = ["confirm", "first", "--top", "1", "--seeds", "2", "--gpus-per-trial", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "attentune", *words, "--epochs", "5"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    query = "SELECT count(*) FROM attentune_epochs e JOIN attentune_trials t ON t.id = e.trial_id "
    query += "WHERE t.number >= 1000000"
    with sqlite3.connect(folder / "attentune.db") as database:
        while database.execute(query).fetchone()[0] < 3:
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 4  # two processes of a worker, their server, the resource tracker
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Each trial is trained on 2 devices" in printed
    assert "attentune confirm first --gpus-per-trial 2\n" in printed
    assert psutil.wait_procs(children, timeout=5)[1] == []

    done = attentune(*words, "--json", cwd=folder, new_process=True)
    summary = json.loads(done.stdout)
    assert all(len(contender["seeds"]) == 2 for contender in summary["contenders"])
    numbers = [number for contender in summary["contenders"] for number in contender["trials"]]
    for number in numbers:
        shown = attentune("show", "first", "--trial", str(number), "--json", cwd=folder)
        trial = json.loads(shown.stdout)
        assert trial["environment"]["data parallel"] == "2 ranks, gloo"
        assert [epoch["epoch"] for epoch in trial["curve"]] == list(range(1, 6))
