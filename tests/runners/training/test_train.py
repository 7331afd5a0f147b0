"""The training loop: exact continuation, pairing, augmentation, and a schedule that ends."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import TrialError
from attentune.runners.data import load_data
from attentune.runners.recipe import Recipe
from attentune.runners.training.augment import EpochBatches
from attentune.runners.training.checkpoint import read_facts
from attentune.runners.training.device_data import DeviceData, DeviceImages
from attentune.runners.training.optimizer import WeightAverage, learning_rate, make_optimizer
from attentune.runners.training.steps import EagerStep, without_trace
from attentune.runners.training.train import evaluate, train
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")

TEXT = "test_resnet+se(r=4,start=identity)@all.residual"


def network(text: str = TEXT, seed: int = 0):
    return build_network(parse(text), num_classes=10, image_size=16, seed=seed)


@pytest.fixture(scope="module")
def data(cache):
    del cache
    recipe = Recipe.of(data="digits", image_size=16, train_limit=256)
    return DeviceData.of(load_data(recipe), torch.device("cpu"))


def run(data, recipe, seed=0, resume=None, stop_after=None, text=TEXT, folder=None):
    reports = []

    def on_epoch(report, save):
        reports.append(report)
        if folder:
            save(folder / str(report.epoch), {"accuracy": report.accuracy})
        return report.epoch != stop_after

    outcome = train(network(text), data, recipe, seed=seed, resume=resume, on_epoch=on_epoch)
    return outcome, reports


@pytest.mark.parametrize("channels_last", [True, False])
def test_maps_lie_in_memory_as_the_recipe_says(data, tiny_recipe, channels_last):
    """Weights do not decide it: whatever they are like, maps lie as the pictures do."""
    recipe = tiny_recipe.model_copy(update={"channels_last": channels_last, "epochs": 1})
    model, seen = network(), set()

    def look(module, inputs, result):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        seen.add((module.training, result.is_contiguous(memory_format=layout)))

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(look)
    train(model, data, recipe, seed=0)
    assert seen == {(True, True), (False, True)}


def test_a_step_copies_no_map(data, tiny_recipe):
    """As it would for activations in place whose gradient needs what they were given."""
    copied = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.overloadpacket is torch.ops.aten.clone:
                copied.append(args[0].shape)
            return func(*args, **(kwargs or {}))

    model = network("mobilenetv3_small_050")
    assert any(isinstance(module, torch.nn.Hardswish) for module in model.modules())
    step = EagerStep(model, make_optimizer(model, tiny_recipe, CPU), data, tiny_recipe)
    with Copies():
        step(*EpochBatches(data, tiny_recipe, seed=0, epoch=0).batch(0, 8))
    assert not [shape for shape in copied if len(shape) == 4 and shape[3] > 1]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weights_in_pieces_move_as_they_would_apart(data, tiny_recipe, optimizer, channels_last):
    """And so does their average, up to rounding: ends of vectors are computed one by one."""
    recipe = tiny_recipe.model_copy(update={"optimizer": optimizer})

    def trained(flat):
        model = network("mobilenetv3_small_050").train()
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(model, recipe, CPU, flat=flat)
        average = WeightAverage(model, optimizer, 0.9)
        step = EagerStep(model, optimizer, data, recipe)
        batches = EpochBatches(data, recipe, seed=0, epoch=0)
        for number in range(4):
            step(*batches.batch(number, 16))
            average.update()
        live = [value.clone() for value in model.state_dict().values()]
        moved = len(optimizer.param_groups[0]["params"])
        with average.applied():
            return moved, [*live, *(value.clone() for value in model.state_dict().values())]

    few, together = trained(True)
    many, apart = trained(False)
    assert few < many / 4
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-5)
    half = len(together) // 2
    assert not all(map(torch.equal, together[:half], together[half:]))


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_continued_training_equals_an_uninterrupted_one_bit_for_bit(
    data, tiny_recipe, optimizer, ema, tmp_path
):
    recipe = tiny_recipe.model_copy(update={"optimizer": optimizer, "ema": ema, "crop": 2})
    whole, reports = run(data, recipe)
    stopped, first = run(data, recipe, stop_after=1, folder=tmp_path)
    assert stopped.stopped
    assert read_facts(tmp_path / "1")["accuracy"] == first[0].accuracy
    rest, later = run(data, recipe, resume=tmp_path / "1")
    assert [r.accuracy for r in later] == [r.accuracy for r in reports[1:]]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


def test_a_checkpoint_that_is_torn_or_of_another_version_is_none(data, tiny_recipe, tmp_path):
    run(data, tiny_recipe, stop_after=1, folder=tmp_path)
    whole = (tmp_path / "1").read_bytes()
    (tmp_path / "torn").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other").write_bytes(whole.replace(b'\\"format\\": 2', b'\\"format\\": 9'))
    assert read_facts(tmp_path / "1")["epoch"] == 1
    for name in ("torn", "other", "absent"):
        assert read_facts(tmp_path / name) is None


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
    outcome, reports = run(data, recipe)
    assert reports[-1].accuracy > 0.5 > reports[0].accuracy  # ten classes, some 200 pictures
    accuracy, loss = evaluate(outcome.model, data, recipe)
    assert (accuracy, loss) == (reports[-1].accuracy, reports[-1].val_loss)


def test_a_loss_that_is_not_finite_is_reported_as_diverged(data, tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"lr": 1e30, "optimizer": "sgd"})
    with pytest.raises(TrialError, match="training loss was") as caught:
        run(data, recipe)
    assert caught.value.kind == "diverged"


def pictures(images, labels=None) -> DeviceData:
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    shown = DeviceImages(images, labels)
    return DeviceData(shown, shown, torch.full((3,), 99.0), torch.ones(3))


def epoch_of(images, recipe, epoch=0, seed=0):
    """All pictures of one epoch, put back into their own order."""
    shown = EpochBatches(pictures(images), recipe, seed=seed, epoch=epoch)
    batch, _ = shown.batch(0, len(images))
    return batch[shown.order.argsort()]


def ramps(count=64):
    ramp = torch.arange(8, dtype=torch.uint8)
    return (ramp[:, None] * 10 + ramp[None, :])[None, :, :, None].repeat(count, 1, 1, 3)


def test_shifts_and_mirrors_move_whole_pictures(tiny_recipe):
    images = ramps()
    out = epoch_of(images, tiny_recipe.model_copy(update={"crop": 2, "flip": True}))
    assert out.shape == images.shape
    corners = {tuple(picture[3:5, 3:5, 0].flatten().tolist()) for picture in out}
    assert len(corners) > 20
    for picture in out[..., 0].int():
        steps = picture[3:5, 3:5].diff(dim=1)
        assert steps.abs().eq(1).all()  # neighbours stay neighbours inside the picture
        assert steps.unique().numel() == 1


def test_every_picture_is_seen_from_both_sides_in_two_epochs(tiny_recipe):
    images = ramps()
    recipe = tiny_recipe.model_copy(update={"flip": True})
    first, second, third = (epoch_of(images, recipe, epoch) for epoch in range(3))
    assert torch.equal(first.flip(2), second)
    assert torch.equal(first, third)
    mirrored = (first != images).flatten(1).any(1)
    assert 16 < mirrored.sum() < 48
    assert not torch.equal(first, epoch_of(images, recipe, seed=1))


def test_a_square_of_every_picture_is_covered_with_the_mean_colour(tiny_recipe):
    images = torch.zeros(200, 16, 16, 3, dtype=torch.uint8)
    out = epoch_of(images, tiny_recipe.model_copy(update={"cutout": 6}))
    covered = (out == 99).all(-1)
    assert torch.equal(out[..., 0] == 99, covered)
    areas = covered.flatten(1).sum(1)
    assert areas.max() == 36
    assert areas.min() >= 9  # the point is inside, the square may stick out
    rows, columns = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(rows * columns, areas)
    assert covered.any(0).all()


def test_no_augmentation_leaves_pictures_alone(tiny_recipe):
    images = torch.randint(0, 255, (4, 8, 8, 3), dtype=torch.uint8)
    assert torch.equal(epoch_of(images, tiny_recipe), images)


def test_every_picture_is_seen_once_an_epoch_with_its_label(tiny_recipe):
    images = torch.arange(50, dtype=torch.uint8)[:, None, None, None].repeat(1, 4, 4, 3)
    shown = EpochBatches(pictures(images, torch.arange(50)), tiny_recipe, seed=3, epoch=1)
    batches = [shown.batch(step, 10) for step in range(5)]
    assert all(torch.equal(b[:, 0, 0, 0].long(), labels) for b, labels in batches)
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(50))


@pytest.mark.parametrize("ahead", [1, 30 * 48, 10**6])
def test_batches_gathered_ahead_are_those_of_their_turn(tiny_recipe, ahead):
    images = torch.arange(50, dtype=torch.uint8)[:, None, None, None].repeat(1, 4, 4, 3)
    recipe = tiny_recipe.model_copy(update={"crop": 1, "flip": True, "cutout": 2})
    data = pictures(images, torch.arange(50))
    usual = EpochBatches(data, recipe, seed=3, epoch=1)
    early = EpochBatches(data, recipe, seed=3, epoch=1)
    early.ahead = ahead
    for step in (0, 1, 2, 3, 4, 2, 0):
        for one, other in zip(usual.batch(step, 10), early.batch(step, 10), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_steps_of_a_warm_up_leave_no_trace(data, tiny_recipe, optimizer):
    recipe = tiny_recipe.model_copy(update={"optimizer": optimizer})

    def trained(warm_ups):
        model = network().train()
        step = EagerStep(model, make_optimizer(model, recipe, torch.device("cpu")), data, recipe)
        batches = EpochBatches(data, recipe, seed=0, epoch=0)
        torch.manual_seed(0)
        for number in range(4):
            if number in warm_ups:
                with without_trace(step):
                    for _ in range(3):
                        step(*batches.batch(7 - number, 16))
            step(*batches.batch(number, 16))
        return [*model.state_dict().values(), step.loss_sum]

    for one, other in zip(trained({0, 2}), trained(set()), strict=True):
        assert torch.equal(one, other)


def test_evaluation_with_mirror_images_averages_both_sides(data, tiny_recipe):
    model = network().eval()
    both = data.normalised(data.val.take(torch.arange(len(data.val))))
    with torch.no_grad():
        logits = (model(both) + model(both.flip(3))) / 2
    accuracy, _ = evaluate(model, data, tiny_recipe.model_copy(update={"mirror": True}))
    assert accuracy == pytest.approx(float((logits.argmax(1) == data.val.labels).float().mean()))


def test_on_a_cpu_steps_are_not_captured_and_the_outcome_says_so(data, tiny_recipe):
    outcome = run(data, tiny_recipe)[0]
    assert outcome.steps == "eager: no CUDA graphs on cpu"


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
    from attentune.runners.training import device_data as module

    monkeypatch.setattr(module, "spare_bytes", lambda _: 0.0)
    streamed = DeviceData.of(load_data(tiny_recipe), torch.device("cpu"))
    assert not isinstance(streamed.train.images, torch.Tensor)
    assert run(streamed, tiny_recipe)[1][-1].accuracy == run(data, tiny_recipe)[1][-1].accuracy
