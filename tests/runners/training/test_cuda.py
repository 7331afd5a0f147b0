"""What only a GPU shows: captured steps, checkpoints of a GPU's state, whole trials there."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.calibration.precision import probe_precision
from attentune.runners.data import load_data
from attentune.runners.events import Decision, EpochDone, Failed, Finished
from attentune.runners.recipe import Recipe
from attentune.runners.results import Job
from attentune.runners.training.batch_plan import plan_batches
from attentune.runners.training.checkpoint import read_facts
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.epoch_batches import EpochBatches
from attentune.runners.training.train import train
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from torch import nn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

CUDA = torch.device("cuda", 0)
TEXT = "test_resnet+se(r=4,start=identity)@all.residual+cbam(r=4,start=identity)@s3.stage"


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.of(
        data="digits",
        image_size=32,
        train_limit=512,
        batch_size=64,
        epochs=3,
        crop=2,
        flip=True,
        stem="native",
    )


@pytest.fixture
def data(cache, recipe) -> DeviceData:
    del cache
    return DeviceData.of(load_data(recipe), CUDA)


def network(text: str = TEXT) -> nn.Module:
    return build_network(parse(text), num_classes=10, image_size=32, seed=0).to(CUDA)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_captured_steps_compute_what_eager_ones_do(data, recipe, optimizer, precision):
    changed = {"optimizer": optimizer, "precision": precision, "epochs": 1, "lr": 1e-3}
    recipe = recipe.model_copy(update=changed)
    captured = train(network(), data, recipe, seed=1)
    eager = train(network(), data, recipe.model_copy(update={"cuda_graph": False}), seed=1)
    again = train(network(), data, recipe.model_copy(update={"cuda_graph": False}), seed=1)
    assert captured.steps == "captured"
    assert eager.steps == "eager: asked for"
    # Atomic additions make two eager runs differ too; a graph may differ by no more than that.
    noise = (weights(eager.model) - weights(again.model)).abs().max()
    difference = (weights(captured.model) - weights(eager.model)).abs().max()
    assert difference <= 4 * noise + 1e-4


def test_batches_of_both_sizes_are_captured_with_all_augmentations(data, recipe):
    changed = {"batch_size": 60, "drop_last": False, "epochs": 1, "lr": 1e-3}
    strong = {"crop_scale": 0.3, "color_jitter": 0.2, "randaugment": 7.0, "erasing": 0.25}
    recipe = recipe.model_copy(update={**changed, **strong, "mixup": 0.2, "cutmix": 1.0})
    assert len(data.train) % 60
    captured = train(network(), data, recipe, seed=1)
    eager = train(network(), data, recipe.model_copy(update={"cuda_graph": False}), seed=1)
    again = train(network(), data, recipe.model_copy(update={"cuda_graph": False}), seed=1)
    assert captured.steps == "captured"
    noise = (weights(eager.model) - weights(again.model)).abs().max()
    difference = (weights(captured.model) - weights(eager.model)).abs().max()
    assert difference <= 4 * noise + 1e-4


@pytest.mark.parametrize("settings", [{}, {"crop_scale": 0.3, "mixup": 0.2}])
def test_images_that_are_read_ahead_are_those_on_the_gpu(cache, data, recipe, settings):
    recipe = recipe.model_copy(update={"batch_size": 60, "drop_last": False, **settings})
    streamed = DeviceData.of(load_data(recipe), CUDA, budget=0.0)
    assert not streamed.train.bytes_on_device
    plan = plan_batches(recipe, len(data.train))
    for epoch in range(2):
        batches = EpochBatches(streamed, recipe, seed=1, epoch=epoch)
        expected = EpochBatches(data, recipe, seed=1, epoch=epoch)
        with batches.reading_ahead(plan):
            for begin, size in plan:
                for actual, wanted in zip(
                    batches.take(begin, size), expected.take(begin, size), strict=True
                ):
                    assert torch.equal(actual, wanted)
    outcome = train(network(), streamed, recipe, seed=1)
    assert outcome.steps == "captured"


class ValueInForward(nn.Module):
    """Reads a value in the middle of its forward pass, which cannot be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network("test_resnet")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert float(x.sum().item()) == float(x.sum().item())
        return self.inner(x)


def test_a_step_that_cannot_be_captured_runs_eagerly_and_says_why(data, recipe):
    outcome = train(ValueInForward().to(CUDA), data, recipe, seed=0)
    assert outcome.steps.startswith("eager: ")
    assert len(outcome.steps) > len("eager: ")


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_training_continued_from_a_file_ends_like_a_whole_one(data, recipe, optimizer, tmp_path):
    recipe = recipe.model_copy(update={"optimizer": optimizer})
    whole = []
    train(network(), data, recipe, seed=0, on_epoch=lambda r, _: not whole.append(r.train_loss))

    def stop(report, save):
        save(tmp_path / "saved", {})
        return report.epoch != 1

    assert train(network(), data, recipe, seed=0, on_epoch=stop).stopped
    assert read_facts(tmp_path / "saved")["epoch"] == 1
    rest = []
    train(
        network(),
        data,
        recipe,
        seed=0,
        resume=tmp_path / "saved",
        on_epoch=lambda r, _: not rest.append(r.train_loss),
    )
    assert rest == pytest.approx(whole[1:], rel=0.05)


@pytest.mark.parametrize("text", ["test_resnet", "mobilenetv3_small_050"])
def test_a_captured_step_keeps_the_memory_it_uses(recipe, text):
    probe = probe_precision(text, recipe, 10, CUDA, seconds=0.5)  # It keeps nothing but its steps.
    assert len(probe.milliseconds) == 4
    torch.cuda.synchronize()


def test_a_trial_runs_on_the_gpu_and_counts_its_seconds(cache, recipe, tmp_path):
    events = []

    def send(event):
        events.append(event)
        return Decision.GO_ON

    for number, text in enumerate((TEXT, "test_resnet")):
        run_trial(Job(number, parse(text), recipe, 0, tmp_path / str(number)), send, device=CUDA)
    results = [event.result for event in events if isinstance(event, Finished)]
    assert len(results) == 2, [e.failure for e in events if isinstance(e, Failed)]
    for result in results:
        assert result.environment["steps"] == "captured"
        assert not [name for name in result.environment if name.endswith("kernels")]
        assert 0 < result.device_seconds <= result.seconds
        assert result.peak_memory_mib > 1
    assert sum(isinstance(event, EpochDone) for event in events) == 6
