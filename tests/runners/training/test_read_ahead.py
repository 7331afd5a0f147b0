"""Reading ahead changes nothing but the time; its thread ends with the epoch, however that ends."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from attentune.errors import DataError
from attentune.runners.training import read_ahead as module
from attentune.runners.training.batch_plan import plan_batches
from attentune.runners.training.device_data import DeviceData, DeviceImages
from attentune.runners.training.epoch_batches import EpochBatches
from attentune.runners.training.evaluation import evaluate
from attentune.runners.training.read_ahead import PinnedBuffers, count_buffers, read_ahead

CPU = torch.device("cpu")
COUNT, SIDE = 50, 12
AUGMENTATIONS = {
    "none": {},
    "shifts": {"crop": 2, "flip": True, "cutout": 4},
    "strong": {"crop_scale": 0.3, "flip": True, "color_jitter": 0.2, "mixup": 0.2, "cutmix": 1.0},
    "balanced": {"balanced_sampling": True, "erasing": 0.5},
}


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read-ahead"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert threads() == []


@pytest.fixture
def file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    return tmp_path / "images.npy"


@pytest.fixture
def cached(file):
    """Images in the cache, which do not fit on the device."""
    labels = torch.arange(COUNT) % 10
    return DeviceImages(np.load(file, mmap_mode="r"), labels)


def data_of(images: DeviceImages) -> DeviceData:
    return DeviceData(images, images, torch.full((3,), 99.0), torch.ones(3))


@pytest.mark.parametrize("batch_size", [16, 7])
@pytest.mark.parametrize("settings", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_two_epochs_are_those_that_are_read_when_needed(tiny_recipe, cached, settings, batch_size):
    changed = {"batch_size": batch_size, "drop_last": False, **settings}
    recipe = tiny_recipe.model_copy(update=changed)
    plan = plan_batches(recipe, COUNT)
    assert len(plan.sizes) == 2  # The last batches are smaller.
    on_device = DeviceImages(torch.from_numpy(np.array(cached.images)), cached.labels)
    for epoch in range(2):
        early, late, fitting = (
            EpochBatches(data_of(images), recipe, seed=3, epoch=epoch)
            for images in (cached, cached, on_device)
        )
        early.take(0, plan.size)  # as when a step is captured
        with early.reading_ahead(plan):
            for begin, size in plan:
                batch = early.take(begin, size)
                for expected in (late.take(begin, size), fitting.take(begin, size)):
                    assert all(map(torch.equal, batch, expected))
        assert not threads()


def test_the_evaluation_reads_ahead_too(tiny_recipe, cached, monkeypatch):
    read = []
    plain = module.read_images
    monkeypatch.setattr(
        module, "read_images", lambda *args: read.append(len(args[1])) or plain(*args)
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 10))
    in_memory = DeviceImages(torch.from_numpy(np.array(cached.images)), cached.labels)
    evaluations = [
        evaluate(model, data_of(images), tiny_recipe, images_per_batch=20)
        for images in (in_memory, cached)
    ]
    assert evaluations[0] == evaluations[1]
    assert read == [20, 20, 10]


def test_a_file_that_is_cut_off_in_an_epoch_is_one_error_where_its_images_are_needed(cached, file):
    batches = torch.arange(COUNT).split(10)
    with read_ahead(cached, batches) as take:
        take(batches[0])
        file.write_bytes(file.read_bytes()[:200])
        with pytest.raises(DataError, match=r"has been cut off\); start again"):
            list(map(take, batches[1:]))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, None])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_the_thread_ends_with_an_epoch_that_is_left_early(cached, error, taken):
    batches = torch.arange(COUNT).split(5)
    with pytest.raises(error) if error else nullcontext(), read_ahead(cached, batches) as take:
        for batch in batches[:taken]:
            take(batch)
        if error:
            raise error


def test_the_thread_ends_with_a_generator_that_is_not_exhausted(tiny_recipe, cached, network):
    from attentune.runners.training.train import prepare_training

    recipe = tiny_recipe.model_copy(update={"batch_size": 10, "image_size": SIDE})
    training = prepare_training(network("test_resnet"), data_of(cached), recipe, seed=0)
    steps = training.train_steps(0)
    next(steps)
    assert threads()
    steps.close()


def test_batches_are_taken_in_their_order_only(cached):
    batches = torch.arange(COUNT).split(10)
    with read_ahead(cached, batches) as take:
        take(batches[0])
        with pytest.raises(ValueError, match="in their order"):
            take(batches[2])
    with read_ahead(cached, batches[:1]) as take:
        take(batches[0])
        with pytest.raises(ValueError, match="in their order"):
            take(batches[0])


@pytest.mark.parametrize(
    ("batch_bytes", "batches", "buffers"),
    [(1, 9, 4), (2**26, 9, 4), (2**27, 9, 2), (2**40, 9, 2), (2**27 - 2**25, 9, 2), (1, 1, 1)],
)
def test_the_buffers_are_few_and_bounded(batch_bytes, batches, buffers):
    assert count_buffers(batch_bytes, batches) == buffers


class RecordedStream:
    """A stand-in for a stream and for an event, which records what it is asked for."""

    def __init__(self, calls, name) -> None:
        self.calls, self.name = calls, name

    def __getattr__(self, call):
        def record(*others) -> None:
            self.calls.append((self.name, call, *(other.name for other in others)))

        return record


def test_a_gpu_copies_after_the_steps_have_read_and_steps_read_after_the_copy(monkeypatch):
    calls, names = [], iter(("copied 0", "copied 1", "used 0", "used 1"))
    side, current = RecordedStream(calls, "side"), RecordedStream(calls, "current")
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: side)
    monkeypatch.setattr(torch.cuda, "Event", lambda **_: RecordedStream(calls, next(names)))
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: current)
    buffers = PinnedBuffers(2, (3, 2, 2, 3), CPU)
    buffers.begin(1, 2)[:] = 7
    buffers.send(1, 2)
    assert buffers.receive(1, 2).tolist() == torch.full((2, 2, 2, 3), 7).tolist()
    buffers.release(1)
    buffers.close()
    assert calls == [
        ("side", "wait_stream", "current"),
        ("copied 1", "synchronize"),
        ("side", "wait_event", "used 1"),
        ("copied 1", "record", "side"),
        ("current", "wait_event", "copied 1"),
        ("used 1", "record", "current"),
        ("current", "wait_stream", "side"),
    ]
