"""confirm: real trials with fresh seeds, judged on the test split."""

from __future__ import annotations

import json
import re

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
