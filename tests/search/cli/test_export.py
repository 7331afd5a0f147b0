"""report and export: a file to read, and a model that gives the outputs that its trial gave."""

from __future__ import annotations

import json

from command_line import attentune


def test_the_report_is_written(finished):
    attentune("report", "first", "-o", "out.html", cwd=finished)
    assert "test_resnet" in (finished / "out.html").read_text()


def test_an_export_gives_the_outputs_that_the_trial_gave(finished):
    import torch
    from attentune import create_model, load
    from attentune.runners.data import load_data
    from attentune.runners.recipe import Recipe
    from attentune.runners.training.device_data import DeviceData
    from attentune.runners.training.evaluation import evaluate
    from safetensors.torch import load_file

    shown = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    for pick in ("best", "knee", "4"):
        attentune("export", "first", "--pick", pick, "-o", f"model-{pick}", cwd=finished)
        model = load(finished / f"model-{pick}")
        facts = json.loads((finished / f"model-{pick}" / "architecture.json").read_text())
        assert facts["architecture"] in (finished / f"model-{pick}" / "README.md").read_text()
        recipe = Recipe.of(**facts["recipe"])
        data = DeviceData.of(load_data(recipe), torch.device("cpu"))
        trial = shown["trials"][facts["trial"]]
        assert evaluate(model, data, recipe).accuracy == trial["values"]["accuracy"]
        assert trial["key"] == facts["key"]
        again = create_model(facts["architecture"], num_classes=10, stem=facts["stem"])
        again.load_state_dict(load_file(finished / f"model-{pick}" / "model.safetensors"))
        images = data.normalised(data.val.take(torch.arange(8)))
        assert torch.equal(again.eval()(images), model(images))
    assert facts["trial"] == 4
    refused = attentune("export", "first", "-o", "model-4", cwd=finished, check=1)
    assert "not empty" in refused.stderr
