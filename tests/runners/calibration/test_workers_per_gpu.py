"""How many workers share a GPU, decided by throughput; the device here is made up."""

from __future__ import annotations

import pytest
from attentune.runners.calibration import workers_per_gpu
from attentune.runners.events import Decision, EpochDone, Failed, Finished, Stopped
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport, Failure

RECIPE = Recipe.of(data="digits", image_size=16, epochs=8)


class SharedDevicePool:
    """Workers whose epochs take `seconds(workers)`, or that fail where this is None.

    From the second one on, every epoch takes `disturbance` times as long as the one before it.
    """

    def __init__(self, devices, seconds, disturbance=1.0) -> None:
        self.seconds, self.disturbance = seconds(len(devices)), disturbance
        self.queue: list = []
        self.epochs: dict[int, int] = {}
        self.max_epochs = 0
        assert set(devices) == {"cuda:1"}

    def start(self, job) -> None:
        self.max_epochs = job.recipe.epochs
        self.epochs[job.number] = 0
        self._next(job.number)

    def _next(self, number) -> None:
        if self.seconds is None:
            self.queue.append(Failed(number, Failure("out_of_memory", "no room")))
            return
        done = self.epochs[number] = self.epochs[number] + 1
        # The first epoch captures and warms up.
        slow = 9.0 if done == 1 else self.seconds * self.disturbance ** (done - 2)
        self.queue.append(EpochDone(number, EpochReport(done, 1.0, 0.5, 1.0, 0.1, slow)))

    def events(self, timeout):
        assert timeout > 0
        events, self.queue = self.queue, []
        return events

    def reply(self, number, decision) -> None:
        if decision is not Decision.GO_ON:
            self.queue.append(Stopped(number, self.epochs[number], 1.0, 1.0, {}))
        elif self.epochs[number] == self.max_epochs:
            self.queue.append(Finished(number, None))
        else:
            self._next(number)

    def close(self) -> None:
        self.queue = None


@pytest.mark.parametrize(
    ("seconds", "workers", "tried"),
    [
        ({1: 1.0, 2: 1.9}, 1, [1.0, 1.05]),  # not worth it
        ({1: 1.0, 2: 1.1, 4: 2.2}, 2, [1.0, 1.82, 1.82]),
        ({1: 1.0, 2: 1.0, 4: 1.0}, 4, [1.0, 2.0, 4.0]),
        ({1: 1.0, 2: None}, 1, [1.0, 0.0]),  # no room for two
    ],
)
def test_workers_are_added_while_the_throughput_rises(monkeypatch, seconds, workers, tried):
    monkeypatch.setattr(
        workers_per_gpu, "LocalPool", lambda names: SharedDevicePool(names, seconds.get)
    )
    measured = workers_per_gpu.measure_workers_per_gpu("test_resnet", RECIPE, "cuda:1")
    assert measured.workers == workers
    assert list(measured.throughput.values()) == pytest.approx(tried, abs=0.01)
    assert str(measured).startswith(f"{workers} workers a GPU (throughput of 1: ×1.00")


@pytest.mark.parametrize(
    ("seconds", "disturbance", "reason"),
    [
        ({1: 1.0}, 1.3, "equal epochs differed by 30 %"),
        ({1: None}, 1.0, "training with a single worker failed"),
    ],
)
def test_one_worker_is_used_where_nothing_can_be_measured(
    monkeypatch, seconds, disturbance, reason
):
    monkeypatch.setattr(
        workers_per_gpu,
        "LocalPool",
        lambda names: SharedDevicePool(names, seconds.get, disturbance),
    )
    measured = workers_per_gpu.measure_workers_per_gpu("test_resnet", RECIPE, "cuda:1")
    assert (measured.workers, measured.disturbance) == (1, reason)
