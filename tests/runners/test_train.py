"""The training loop: exact continuation, pairing, augmentation, and a schedule that ends."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import TrialError
from attentune.runners.data import load_data
from attentune.runners.recipe import Recipe
from attentune.runners.train import DeviceData, augmented, evaluate, learning_rate, train
from attentune.spaces.architecture import parse
from attentune.spaces.build import build

TEXT = "test_resnet+se(r=4,start=identity)@all.residual"


def network(text: str = TEXT, seed: int = 0):
    return build(parse(text), num_classes=10, image_size=16, seed=seed)


@pytest.fixture(scope="module")
def data(cache):
    del cache
    recipe = Recipe.of(data="digits", image_size=16, train_limit=256)
    return DeviceData.of(load_data(recipe), torch.device("cpu"))


def run(data, recipe, seed=0, resume=None, stop_after=None, text=TEXT):
    reports, saved = [], {}

    def on_epoch(report, make):
        reports.append(report)
        saved[report.epoch] = {k: _copied(v) for k, v in make().items()}
        return report.epoch != stop_after

    outcome = train(network(text), data, recipe, seed=seed, resume=resume, on_epoch=on_epoch)
    return outcome, reports, saved


def _copied(value):
    import copy

    return copy.deepcopy(value)


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_continued_training_equals_an_uninterrupted_one_bit_for_bit(
    data, tiny_recipe, optimizer, ema
):
    recipe = tiny_recipe.model_copy(update={"optimizer": optimizer, "ema": ema, "crop": 2})
    whole, reports, _ = run(data, recipe)
    stopped, _, saved = run(data, recipe, stop_after=1)
    assert stopped.stopped
    rest, later, _ = run(data, recipe, resume=saved[1])
    assert [r.accuracy for r in later] == [r.accuracy for r in reports[1:]]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


def test_one_seed_gives_one_result_and_another_seed_another(data, tiny_recipe):
    losses = [run(data, tiny_recipe, seed=seed)[1][-1].train_loss for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_architectures_with_one_seed_see_the_same_first_batch(data, tiny_recipe):
    seen = []

    def spy(module, args):
        del module
        seen.append(args[0].clone())

    for text in ("test_resnet", TEXT):
        model = network(text)
        model.register_forward_pre_hook(spy)
        recipe = tiny_recipe.model_copy(update={"epochs": 1, "crop": 2, "flip": True, "ema": 0.0})
        count = len(seen)
        train(model, data, recipe, seed=5)
        seen[count + 1 :] = []
    assert torch.equal(seen[0], seen[1])


def test_an_identity_start_begins_where_the_bare_backbone_begins(data, tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"lr": 1e-12, "weight_decay": 0.0, "epochs": 1})
    bare = run(data, recipe, text="test_resnet")[1][0].train_loss
    assert run(data, recipe)[1][0].train_loss == pytest.approx(bare, abs=1e-6)


def test_training_learns_the_digits(data, tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"epochs": 12})
    outcome, reports, _ = run(data, recipe)
    assert reports[-1].accuracy > 0.5 > reports[0].accuracy  # ten classes, some 200 pictures
    accuracy, loss = evaluate(outcome.model, data, recipe)
    assert (accuracy, loss) == (reports[-1].accuracy, reports[-1].val_loss)


def test_a_loss_that_is_not_finite_is_reported_as_diverged(data, tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"lr": 1e30, "optimizer": "sgd"})
    with pytest.raises(TrialError, match="training loss was") as caught:
        run(data, recipe)
    assert caught.value.kind == "diverged"


def test_shifts_and_mirrors_move_whole_pictures(tiny_recipe):
    generator = torch.Generator().manual_seed(0)
    ramp = torch.arange(8, dtype=torch.uint8)
    images = (ramp[:, None] * 10 + ramp[None, :])[None, :, :, None].expand(64, -1, -1, 3)
    recipe = tiny_recipe.model_copy(update={"crop": 2, "flip": True})
    out = augmented(images, recipe, generator)
    assert out.shape == images.shape
    corners = {tuple(picture[3:5, 3:5, 0].flatten().tolist()) for picture in out}
    assert len(corners) > 20
    for picture in out[..., 0].int():
        steps = picture[3:5, 3:5].diff(dim=1)
        assert steps.abs().eq(1).all()  # neighbours stay neighbours inside the picture
        assert steps.unique().numel() == 1


def test_no_augmentation_leaves_pictures_alone(tiny_recipe):
    images = torch.randint(0, 255, (4, 8, 8, 3), dtype=torch.uint8)
    assert torch.equal(augmented(images, tiny_recipe, torch.Generator()), images)


@pytest.mark.parametrize("schedule", ["wsd", "onecycle"])
def test_a_schedule_rises_peaks_and_ends_near_zero(tiny_recipe, schedule):
    recipe = tiny_recipe.model_copy(update={"schedule": schedule, "warmup": 0.1, "lr": 1.0})
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[0] < 0.2
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert 0 <= rates[-1] < 0.06
    assert all(rate > 0 for rate in rates[:-1])
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_stable_phase_of_wsd_does_not_depend_on_the_length(tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"warmup": 0.0, "decay": 0.25, "lr": 1.0})
    assert [learning_rate(recipe, step, 40) for step in range(30)] == [1.0] * 30


def test_pictures_that_do_not_fit_are_read_from_the_cache_to_the_same_end(
    data, tiny_recipe, monkeypatch
):
    from attentune.runners import train as module

    monkeypatch.setattr(module, "spare_bytes", lambda _: 0.0)
    streamed = DeviceData.of(load_data(tiny_recipe), torch.device("cpu"))
    assert not isinstance(streamed.train.images, torch.Tensor)
    assert run(streamed, tiny_recipe)[1][-1].accuracy == run(data, tiny_recipe)[1][-1].accuracy
