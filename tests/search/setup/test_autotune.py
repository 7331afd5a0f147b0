"""What is left to auto is measured, said, remembered, and the same for the whole study."""

from __future__ import annotations

import logging
import math
import time

import pytest
import torch
from attentune.errors import TrialError, UsageError
from attentune.runners.calibration import learning_rate as tuning
from attentune.runners.calibration import precision as probing
from attentune.runners.calibration.learning_rate import MAX_TRIALS
from attentune.runners.calibration.precision import PrecisionProbe
from attentune.runners.events import Decision, EpochDone, Failed, Finished
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport, Failure
from attentune.search.setup.request import SearchRequest, read_request
from attentune.search.setup.resolve import resolve_request
from attentune.studies.database.store import Store

CPU = torch.device("cpu")


def request(**fields) -> SearchRequest:
    small = {"image_size": 16, "train_limit": 256, "batch_size": 64, "stem": "native", "epochs": 2}
    given = {"backbone": "test_resnet", "data": "digits", "device": "cpu", **small, **fields}
    return read_request(given, None)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "a.db", create=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def messages(caplog):
    caplog.set_level(logging.INFO, "attentune")


@pytest.fixture
def probed(monkeypatch):
    """Counts probes, and answers them at once."""
    asked = []

    def answer(backbone, recipe, num_classes, device, *, variants):
        del num_classes, device
        asked.append((backbone, recipe.batch_size, variants))
        layouts = {True: "channels_last", False: "contiguous"}
        return PrecisionProbe(*variants[-1], {f"{p} {layouts[c]}": 1.0 for p, c in variants})

    monkeypatch.setattr(probing, "probe_precision", answer)
    return asked


def test_an_answer_is_measured_once_and_remembered(store, probed, cache, caplog):
    first = resolve_request(request(lr=0.01), store)
    assert (first.recipe.precision, first.recipe.channels_last) == ("bf16", False)
    assert any("bf16 contiguous" in line and "probed" in line for line in caplog.messages)
    assert resolve_request(request(lr=0.01), store).recipe == first.recipe
    assert "earlier probe" in caplog.messages[-1]
    assert len(probed) == 1
    resolve_request(request(lr=0.01, batch_size=32), store)
    assert [batch for _, batch, _ in probed] == [64, 32]


@pytest.mark.parametrize(
    ("given", "variants"),
    [
        ({"precision": "float32"}, {("float32", True), ("float32", False)}),
        ({"memory_format": "contiguous"}, {("float32", False), ("bf16", False)}),
    ],
)
def test_what_is_given_is_not_probed(store, probed, cache, given, variants):
    resolve_request(request(lr=0.01, **given), store)
    assert [set(tried) for _, _, tried in probed] == [variants]


@pytest.mark.parametrize(("instructions", "told"), [("AVX2", True), ("AVX512", False)])
def test_who_asks_for_bf16_hears_that_a_processor_lacks_it(
    store, probed, cache, caplog, monkeypatch, instructions, told
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    resolve_request(request(lr=0.01, precision="bf16"), store)
    assert any("no bf16 instructions" in line for line in caplog.messages) == told


def test_nothing_is_probed_if_all_is_given(store, probed, cache, caplog):
    config = resolve_request(
        request(lr=0.01, precision="bf16", memory_format="channels_last"), store
    )
    assert (config.recipe.precision, config.recipe.channels_last, probed) == ("bf16", True, [])


def test_a_real_probe_times_every_variant_and_takes_a_fast_one():
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    found = probing.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.1)
    assert len(found.milliseconds) == 4 or probing.lacks_bf16(CPU)
    name = f"{found.precision} {found.layout}"
    fastest = min(found.milliseconds.values())
    assert found.milliseconds[name] <= fastest * probing.WORTH_IT * probing._CLEARLY


def test_a_precision_that_is_hopeless_here_is_tried_once_on_a_few_pictures(monkeypatch):
    asked: list[int] = []
    plain = torch.nn.Conv2d.forward

    def slow_in_bf16(layer, x):
        if torch.is_autocast_enabled("cpu"):
            asked.append(len(x))
            time.sleep(0.1 * len(x))
        return plain(layer, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", slow_in_bf16)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    found = probing.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.1)
    assert set(found.milliseconds) == {"float32 contiguous", "float32 channels_last"}
    assert found.precision == "float32"
    assert set(asked) == {2}


def test_a_precision_that_is_hopeless_with_a_whole_batch_is_not_timed(monkeypatch):
    asked: list[int] = []

    def timed(model, recipe, num_classes):
        del model, num_classes
        slow = recipe.precision == "bf16" and recipe.batch_size == 8

        def run() -> float:
            if slow:
                asked.append(recipe.batch_size)
            return 0.5 if slow else 0.01

        return run

    monkeypatch.setattr(probing, "_timed", timed)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    found = probing.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.1)
    assert found.variants == [("float32", True), ("float32", False)]
    assert len(asked) == 2 * 3  # layouts; warming up, and two steps


def test_what_is_clearly_fastest_is_not_timed_on(monkeypatch):
    taken: list[bool] = []

    def timed(model, recipe, num_classes):
        del model, num_classes

        def run() -> float:
            taken.append(recipe.channels_last)
            return 0.01 if recipe.channels_last and recipe.precision == "float32" else 0.02

        return run

    monkeypatch.setattr(probing, "_timed", timed)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    found = probing.probe_precision("test_resnet", recipe, 10, CPU, seconds=600)
    assert (found.precision, found.channels_last) == ("float32", True)
    assert len(taken) < 50


@pytest.mark.parametrize(("times", "channels_last"), [(1.05, True), (1.3, False), (0.9, True)])
def test_contiguous_maps_are_taken_where_they_are_clearly_faster(monkeypatch, times, channels_last):
    def timed(model, recipe, num_classes):
        del model, num_classes
        bf16 = 3.0 if recipe.precision == "bf16" else 1.0
        return lambda: 0.01 * bf16 * (times if recipe.channels_last else 1.0)

    monkeypatch.setattr(probing, "_timed", timed)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    found = probing.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.0)
    assert (found.precision, found.channels_last) == ("float32", channels_last)


def test_auto_tunes_the_rate_for_the_price_of_two_trials_and_says_so(store, probed, cache, caplog):
    config = resolve_request(request(precision="float32", memory_format="contiguous"), store)
    assert len(config.tuning) == 4
    assert sum(attempt["epochs"] for attempt in config.tuning) == MAX_TRIALS * config.recipe.epochs
    best = min(config.tuning, key=lambda attempt: attempt.get("loss", float("inf")))
    assert (config.recipe.lr, config.recipe.decay) == (best["lr"], best["decay"])
    assert f"training with lr {best['lr']:.3g}" in caplog.messages[-1]


class Landscape:
    """A pool whose networks have a loss that is a given function of rate and decay."""

    def __init__(self, loss) -> None:
        self.loss, self.idle, self.queue, self.epochs = loss, 2, [], 0

    def start(self, job) -> None:
        self.idle -= 1
        value = self.loss(job.recipe.lr, job.recipe.decay)
        self.epochs += job.recipe.epochs
        if value is None:
            self.queue.append(Failed(job.number, Failure("diverged", "the loss was nan")))
            return
        for epoch in range(job.recipe.epochs):
            report = EpochReport(epoch + 1, 1.0, 0.5, value, job.recipe.lr, 1.0)
            self.queue.append(EpochDone(job.number, report))
        self.queue.append(Finished(job.number, None))

    def events(self, timeout):
        assert timeout > 0
        self.idle, found, self.queue = 2, self.queue, []
        return found

    def reply(self, number, decision) -> None:
        assert decision is Decision.GO_ON, number

    def close(self) -> None:
        self.queue = None


@pytest.fixture
def landscape(monkeypatch):
    def tuned(loss, **fields):
        pool = Landscape(loss)
        monkeypatch.setattr(tuning, "LocalPool", lambda _: pool)
        recipe = Recipe.of(**{"data": "digits", "image_size": 16, "epochs": 8, **fields})
        found = tuning.tune_learning_rate("test_resnet", recipe, ["cpu", "cpu"])
        assert pool.epochs <= MAX_TRIALS * recipe.epochs
        assert pool.queue is None, "the pool is closed"
        return found.recipe, [(attempt.lr, attempt.decay) for attempt in found.attempts]

    return tuned


def valley(bottom):
    return lambda lr, decay: abs(math.log2(lr / bottom)) + abs(decay - 0.4)


def test_tuning_goes_on_in_the_better_direction_and_tries_a_longer_decay(landscape):
    recipe, tried = landscape(valley(1.0), lr=0.01)
    assert tried == [(0.01, 0.4), (0.02, 0.4), (0.04, 0.4), (0.02, 0.7)]
    assert recipe.lr == 0.04
    recipe, tried = landscape(valley(0.001), lr=0.01)
    assert tried == [(0.01, 0.4), (0.02, 0.4), (0.005, 0.4), (0.01, 0.7)]
    assert recipe.lr == 0.005
    recipe, _ = landscape(lambda lr, decay: abs(math.log2(lr / 0.01)) - decay, lr=0.01)
    assert (recipe.lr, recipe.decay) == (0.01, 0.7)
    _, tried = landscape(valley(0.01), lr=0.01, schedule="onecycle")
    assert len(tried) == 3


@pytest.mark.parametrize("epochs", range(1, 12))
def test_tuning_never_costs_more_than_two_trials(landscape, epochs):
    recipe, tried = landscape(valley(1.0), lr=0.01, epochs=epochs)
    assert recipe.epochs == epochs
    assert len(tried) == (2 if epochs == 1 else 4)


def test_tuning_backs_off_from_rates_that_diverge_and_says_if_all_do(landscape):
    recipe, tried = landscape(lambda lr, _: None if lr > 0.05 else 1 / lr, lr=1.0)
    assert [lr for lr, _ in tried] == pytest.approx([1.0, 2.0, 0.1, 0.01])
    assert recipe.lr == pytest.approx(0.01)
    with pytest.raises(TrialError, match=r"diverges at every learning rate.*--lr"):
        landscape(lambda *_: None)


@pytest.mark.parametrize("rate", ["fast", "0", "-0.1", 0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(UsageError, match="lr: must be auto or a number above zero"):
        request(lr=rate)
