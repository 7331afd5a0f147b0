"""Attention maps: known gates are recorded exactly, in any layout, on validation images."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import attentune
import numpy as np
import pytest
import torch
from attentune.errors import AttentuneError, UsageError
from attentune.runners.data import load_data
from attentune.runners.events import Decision, EpochDone, Finished
from attentune.runners.inspection import collect_attention_maps as module
from attentune.runners.inspection.attention_maps import AttentionMaps
from attentune.runners.inspection.collect_attention_maps import collect_attention_maps, main
from attentune.runners.recipe import Recipe
from attentune.runners.results import CHECKPOINT_FILE, WEIGHTS_FILE, Job
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.plugins import register as registration
from attentune.spaces.networks.build import build_network
from safetensors.torch import save_file
from torch import nn

RECIPE = Recipe.of(data="digits", image_size=32, train_limit=256)
TEXT = "test_resnet+se(r=4,start=identity)@all.residual"


class ByChannel(nn.Module):
    """Passes channels on as 0, 1/2, 1, 3/2, …"""

    def __init__(self, channels: int) -> None:
        del channels
        super().__init__()

    def forward(self, x):
        return x * (torch.arange(x.shape[1]) / 2)[:, None, None]


class ByLocation(nn.Module):
    """Passes locations on as 1, 2, 3, … from left to right and by ten more in the next row."""

    def __init__(self, channels: int) -> None:
        del channels
        super().__init__()

    def forward(self, x):
        rows, columns = torch.arange(x.shape[2]), torch.arange(x.shape[3])
        return x * -(10.0 * rows[:, None] + columns + 1)  # a sign is no weight


class Halves(nn.Module):
    """Breaks the contract after the check: returns every second row and column."""

    def __init__(self, channels: int) -> None:
        del channels
        super().__init__()

    def forward(self, x):
        return x if x.shape[3] == 7 else x[:, :, ::2, ::2]


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(registration, "_registered", {})
    registration._resolve.cache_clear()
    attentune.register_attention("bychannel")(ByChannel)
    attentune.register_attention("bylocation")(ByLocation)
    attentune.register_attention("halves")(Halves)
    yield
    registration._resolve.cache_clear()


def network(text: str, recipe: Recipe = RECIPE) -> nn.Module:
    """A network at random, none of whose branches is closed by a norm that begins at zero."""
    shape = {"image_size": recipe.image_size, "stem": recipe.stem}
    model = build_network(parse(text), num_classes=10, seed=1, **shape).eval()
    for name, weight in model.named_parameters():
        if name.endswith("weight") and not weight.any():
            nn.init.ones_(weight)
    return model


@pytest.fixture
def collected(tmp_path):
    """A function that collects the attention maps of an untrained network."""

    def collect(text: str, recipe: Recipe = RECIPE, **options) -> AttentionMaps:
        save_file(network(text, recipe).state_dict(), tmp_path / WEIGHTS_FILE)
        return collect_attention_maps(parse(text), recipe, tmp_path / WEIGHTS_FILE, **options)

    return collect


TEMPLATES = [
    "test_resnet+{}@s2.residual",
    "test_resnet+{}@s2.pre",
    "test_resnet+{}@s1.identity",
    "test_resnet+se(r=4)@s2.residual+{}@s2.residual",
    "test_mambaout+{}@s2.post",
    "test_mambaout+{}@s2.pre",
    "test_mambaout+{}@s2.identity",
]

WIDE = ("test_resnet+{}@s2.pre", "test_resnet+{}@s1.identity")


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_gate_of_channels_is_recorded_exactly(known, collected, text):
    gate = collected(text.format("bychannel")).attentions[-1]
    seen = np.isfinite(gate.channels)  # a channel that ReLU has closed has no weight
    assert seen.mean() > 0.5
    np.testing.assert_allclose(gate.channels[seen], (np.arange(len(seen)) / 2)[seen], rtol=1e-5)
    assert gate.attention == "bychannel"
    assert gate.site == f"s{gate.stage}b1.{text.rpartition('.')[2]}"


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_gate_of_locations_is_recorded_exactly(known, collected, text):
    gate = collected(text.format("bylocation"), num_images=3).attentions[-1]
    num_images, height, width = gate.locations.shape
    expected = 10 * np.arange(height)[:, None] + np.arange(width) + 1
    assert num_images == 3
    assert height == width == (8 if text in WIDE else 4)
    np.testing.assert_allclose(
        gate.locations, np.broadcast_to(expected, gate.locations.shape), rtol=1e-5
    )


def test_tokens_lie_where_the_backbone_says(known, tmp_path):
    recipe = RECIPE.model_copy(update={"image_size": 64})
    text = "hiera_tiny_224+bylocation@s2b2.post"
    model = network(text, recipe)
    save_file(model.state_dict(), tmp_path / WEIGHTS_FILE)
    maps = collect_attention_maps(parse(text), recipe, tmp_path / WEIGHTS_FILE, num_images=2)
    [gate] = maps.attentions
    expected = 10 * np.arange(8)[:, None] + np.arange(8) + 1
    np.testing.assert_allclose(gate.locations, np.broadcast_to(expected, (2, 8, 8)), rtol=1e-5)

    outputs = run(model, "blocks.2", maps, recipe)
    back = model.reroll(outputs, 2).abs().mean(3)
    np.testing.assert_allclose(maps.stages[1].locations, back.numpy(), rtol=1e-4)


def run(model: nn.Module, path: str, maps: AttentionMaps, recipe: Recipe = RECIPE) -> torch.Tensor:
    """What a module returns for the images that were shown."""
    data, outputs = load_data(recipe), []
    hook = model.get_submodule(path).register_forward_hook(lambda _, __, out: outputs.append(out))
    images = torch.from_numpy(maps.images.copy()) / 255
    images = (images - torch.tensor(data.mean)) / torch.tensor(data.std)
    with torch.no_grad():
        logits = model(images.permute(0, 3, 1, 2))
    hook.remove()
    likeliest = logits.softmax(1).amax(1)
    np.testing.assert_allclose(maps.probabilities, likeliest.numpy(), rtol=1e-4)
    return outputs[0]


@pytest.mark.parametrize(
    ("text", "path", "channels"),
    [
        ("test_resnet", "layer3.0", 1),
        ("test_resnet+bychannel@s3.stage", "layer3.0", 1),
        ("test_mambaout", "stages.2.blocks.2", 3),
    ],
)
def test_every_stage_has_the_energy_of_its_output(known, collected, text, path, channels):
    maps = collected(text, num_images=4)
    assert [stage.stage for stage in maps.stages] == [1, 2, 3, 4]
    expected = run(network(text), path, maps).abs().mean(channels)
    np.testing.assert_allclose(maps.stages[2].locations, expected.numpy(), rtol=1e-4)
    assert not maps.left_out


def test_two_of_a_kind_at_one_place_are_told_apart(collected):
    first, second = collected("test_resnet+se(r=4)@s2.residual+se(r=8)@s2.residual").attentions
    assert (first.site, first.attention) == (second.site, second.attention)
    assert not np.allclose(first.channels, second.channels, rtol=1e-3)


def test_every_mechanism_of_the_catalogue_can_be_recorded(collected):
    text = "test_resnet" + "".join(f"+{name}(r=4)@s2.mid" for name in ("se", "cbam", "ca", "nl"))
    names = [name for name in ATTENTIONS if f"+{name}(" not in text]
    maps = collected(text + "".join(f"+{name}@s2.mid" for name in names), num_images=2)
    assert sorted(gate.attention for gate in maps.attentions) == sorted(ATTENTIONS)
    for gate in maps.attentions:
        assert gate.locations.shape == (2, 4, 4)
        assert np.isfinite(gate.locations).any(), gate.attention
        assert len(gate.channels) == (0 if gate.attention == "shuffle" else 48)
    [reason] = maps.left_out
    assert reason.startswith("shuffle at s2b1.mid")


def test_what_changes_the_shape_of_its_map_is_left_out_with_a_reason(known, collected):
    maps = collected("test_resnet+halves@s2.post+bychannel@s3.post", num_images=2)
    assert [gate.attention for gate in maps.attentions] == ["bychannel"]
    assert maps.left_out == ("halves at s2b1.post changes the shape of its map and is left out.",)


def test_images_are_of_the_validation_split_and_of_many_classes(collected, monkeypatch):
    maps = collected("test_resnet", num_images=10)
    data = load_data(RECIPE)
    assert len(set(maps.labels.tolist())) == len(set(data.val.labels.tolist()))
    np.testing.assert_array_equal(maps.images, data.val.images[maps.indices])
    np.testing.assert_array_equal(maps.labels, data.val.labels[maps.indices])

    class Forbidden:
        def __getattr__(self, name):
            raise AssertionError("the test split was read")

    closed = dataclasses.replace(data, test=Forbidden(), train=Forbidden())
    monkeypatch.setattr(module, "load_data", lambda _, **__: closed)
    again = collected("test_resnet", num_images=10)
    assert again.to_json() == maps.to_json()


def test_images_depend_on_the_seed_and_on_no_network(collected):
    first, second = collected("test_resnet"), collected("test_resnet+eca@all.mid")
    assert first.indices.tolist() == second.indices.tolist()
    assert first.indices.tolist() != collected("test_resnet", seed=1).indices.tolist()


@pytest.mark.parametrize("num_images", [0, 65])
def test_a_senseless_number_of_images_is_refused(num_images, tmp_path):
    with pytest.raises(UsageError, match=f"1 to 64 images at a time, not {num_images}"):
        collect_attention_maps(
            parse("test_resnet"), RECIPE, tmp_path / WEIGHTS_FILE, num_images=num_images
        )


@pytest.fixture(scope="module")
def trial(tmp_path_factory, cache):
    """A trial's folder with its checkpoint after the third epoch and its last weights."""
    recipe = Recipe.of(
        data="digits",
        image_size=16,
        epochs=4,
        train_limit=256,
        batch_size=16,
        ema=0.98,
        mirror=True,
    )
    folder, reports = tmp_path_factory.mktemp("trial"), []

    def send(event):
        if isinstance(event, EpochDone):
            reports.append(event.report)
            return Decision.PAUSE if len(reports) == 3 else Decision.GO_ON
        if isinstance(event, Finished):
            reports.append(event.result)
        return Decision.GO_ON

    job = Job(0, parse(TEXT), recipe, 0, folder)
    run_trial(job, send, device=torch.device("cpu"))
    saved = (folder / CHECKPOINT_FILE).read_bytes()
    run_trial(job, send, device=torch.device("cpu"))
    (folder / CHECKPOINT_FILE).write_bytes(saved)
    return folder, recipe, reports


@pytest.mark.parametrize(("file", "epochs"), [(CHECKPOINT_FILE, 3), (WEIGHTS_FILE, None)])
def test_a_network_judges_as_its_trial_was_judged(trial, file, epochs):
    folder, recipe, reports = trial
    maps = collect_attention_maps(parse(TEXT), recipe, folder / file, num_images=64)
    assert len(maps.images) == len(load_data(recipe).val)  # fewer than 64: all of them
    accuracy = (maps.predicted == maps.labels).mean()
    assert accuracy > 0.3  # not by chance
    assert accuracy == pytest.approx(reports[2 if epochs else -1].accuracy)
    assert maps.epochs == epochs


@pytest.mark.parametrize("file", [CHECKPOINT_FILE, WEIGHTS_FILE, "absent"])
def test_weights_that_do_not_fit_are_refused_in_a_sentence(trial, file):
    folder, recipe, _ = trial
    with pytest.raises(AttentuneError, match=r"do not fit test_mambaout .*choose another trial"):
        collect_attention_maps(parse("test_mambaout"), recipe, folder / file)


def respond(trial, tmp_path: Path, **changes) -> dict:
    folder, recipe, _ = trial
    request = {"architecture": TEXT, "recipe": recipe.model_dump(mode="json"), "num_images": 2}
    request = {**request, "weights": str(folder / WEIGHTS_FILE), **changes}
    (tmp_path / "request.json").write_text(json.dumps(request))
    code = main([str(tmp_path / "request.json"), str(tmp_path / "result.json")])
    result = json.loads((tmp_path / "result.json").read_text())
    assert code == ("error" in result)
    return result


def test_a_request_in_a_file_is_answered_in_a_file(trial, tmp_path):
    maps = AttentionMaps.from_json(respond(trial, tmp_path))
    assert maps.architecture == TEXT
    assert [gate.site for gate in maps.attentions] == [f"s{s}b1.residual" for s in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"architecture": "test_resnet+sse@all.mid"}, "unknown attention 'sse'"),
        ({"architecture": "test_resnet"}, "do not fit test_resnet"),
        ({"recipe": {"data": "digits", "image_size": -1}}, "greater than 0"),
        ({"num_images": None}, "could not be computed"),
    ],
)
def test_a_request_that_fails_is_answered_with_one_sentence(trial, tmp_path, changes, error):
    result = respond(trial, tmp_path, **changes)
    assert list(result) == ["error"]
    assert error in result["error"]
    assert "\n" not in result["error"]


def test_the_command_without_its_two_files_says_how_it_is_used(capsys):
    assert main(["one"]) == 2
    assert "REQUEST.json RESULT.json" in capsys.readouterr().err
