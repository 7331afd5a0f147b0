"""Settings left to `auto` are measured, logged, cached, and fixed for the whole study."""

from __future__ import annotations

import logging

import pytest
import torch
from attentune.errors import UsageError
from attentune.runners.calibration import precision as probing
from attentune.runners.calibration import workers_per_gpu
from attentune.runners.calibration.learning_rate import MAX_COST_TRIALS
from attentune.runners.calibration.precision import PrecisionProbe
from attentune.runners.calibration.workers_per_gpu import WorkersPerGPU
from attentune.runners.recipe import Recipe
from attentune.search.setup.autotune import autotune_precision, autotune_workers_per_gpu
from attentune.search.setup.request import SearchRequest, read_request
from attentune.search.setup.resolve import resolve_request
from attentune.studies.database.store import Store

CPU = torch.device("cpu")


def request(**fields) -> SearchRequest:
    small = {"image_size": 16, "train_limit": 256, "batch_size": 64, "stem": "native", "epochs": 2}
    settings = {"backbone": "test_resnet", "data": "digits", "device": "cpu", **small, **fields}
    return read_request(settings, None)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "a.db", create=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def messages(caplog):
    caplog.set_level(logging.INFO, "attentune")


@pytest.fixture
def probed(monkeypatch):
    """The probes that were made; none takes any time."""
    probes = []

    def probe(backbone, recipe, num_classes, device, *, variants):
        del num_classes, device
        probes.append((backbone, recipe.batch_size, variants))
        layouts = {True: "channels_last", False: "contiguous"}
        return PrecisionProbe(*variants[-1], {f"{p} {layouts[c]}": 1.0 for p, c in variants})

    monkeypatch.setattr(probing, "probe_precision", probe)
    return probes


def test_a_probe_is_made_once_and_cached(store, probed, cache, caplog):
    first = resolve_request(request(lr=0.01), store.probes)
    assert (first.recipe.precision, first.recipe.channels_last) == ("bf16", False)
    assert any("bf16 contiguous" in line and "probed" in line for line in caplog.messages)
    assert resolve_request(request(lr=0.01), store.probes).recipe == first.recipe
    assert "earlier probe" in caplog.messages[-1]
    assert len(probed) == 1
    resolve_request(request(lr=0.01, batch_size=32), store.probes)
    assert [batch for _, batch, _ in probed] == [64, 32]


@pytest.mark.parametrize(
    "changed",
    [{}, {"precision": 7}, {"precision": "float64"}, {"channels_last": "no"}, {"told": None}],
)
def test_a_recorded_probe_that_says_nothing_is_made_again(store, probed, changed):
    class Probes:
        recorded: dict | None = None

        def get(self, _):
            return self.recorded

        def put(self, _, result):
            self.recorded = dict(result)

    probes, recipe = Probes(), Recipe.of(data="digits", image_size=16)
    first = autotune_precision(request(lr=0.01), recipe, 10, CPU, probes)
    assert autotune_precision(request(lr=0.01), recipe, 10, CPU, probes) == first
    assert len(probed) == 1
    probes.recorded = {**probes.recorded, **changed} if changed else {}
    assert autotune_precision(request(lr=0.01), recipe, 10, CPU, probes) == first
    assert len(probed) == 2


def test_what_a_busy_machine_measures_is_said_and_not_cached(store, monkeypatch, caplog):
    reason = "other processes took 45 % of the time"
    probe = PrecisionProbe("float32", True, {"float32 channels_last": 2.0}, reason)
    monkeypatch.setattr(probing, "probe_precision", lambda *_, **__: probe)
    recipe = Recipe.of(data="digits", image_size=16)
    for _ in range(2):
        tuned = autotune_precision(request(lr=0.01), recipe, 10, CPU, store.probes)
        assert (tuned.precision, tuned.channels_last) == ("float32", True)
        assert caplog.messages[-1] == (
            "computing in float32 channels_last, as the machine was too busy to tell what is "
            f"fastest ({reason}), so that the next search measures again; --precision and "
            "--memory-format override this"
        )
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("settings", "variants"),
    [
        ({"precision": "float32"}, {("float32", True), ("float32", False)}),
        ({"memory_format": "contiguous"}, {("float32", False), ("bf16", False)}),
    ],
)
def test_only_what_is_open_is_probed(store, probed, cache, settings, variants):
    resolve_request(request(lr=0.01, **settings), store.probes)
    assert [set(tried) for _, _, tried in probed] == [variants]


@pytest.mark.parametrize(("instructions", "warned"), [("AVX2", True), ("AVX512", False)])
def test_bf16_on_a_processor_without_its_instructions_is_warned_of(
    store, probed, cache, caplog, monkeypatch, instructions, warned
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    resolve_request(request(lr=0.01, precision="bf16"), store.probes)
    assert any("no bf16 instructions" in line for line in caplog.messages) == warned


def test_fp16_is_refused_where_torch_cannot_train_in_it(store, probed, cache, monkeypatch, caplog):
    recipe = Recipe.of(data="digits", image_size=16)
    asked = request(lr=0.01, precision="fp16", memory_format="contiguous")
    monkeypatch.setattr(probing, "why_no_fp16", lambda _: None)
    assert autotune_precision(asked, recipe, 10, CPU, store.probes).precision == "fp16"
    assert "processors have no fast fp16" in caplog.messages[-1]
    monkeypatch.setattr(probing, "why_no_fp16", lambda _: "no kernel")
    with pytest.raises(UsageError, match=r"cannot train in fp16 on cpu \(no kernel\); use --prec"):
        autotune_precision(asked, recipe, 10, CPU, store.probes)


def test_a_gpu_that_emulates_bf16_probes_fp16(store, probed, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(probing, "probe_key", lambda *_: {"device": "a T4"})
    recipe = Recipe.of(data="digits", image_size=16)
    assert autotune_precision(request(), recipe, 10, GPU, store.probes).precision == "fp16"
    assert {precision for precision, _ in probed[0][2]} == {"float32", "fp16"}
    slow = request(precision="bf16", memory_format="contiguous")
    autotune_precision(slow, recipe, 10, GPU, store.probes)
    assert "torch emulates it; --precision fp16 is faster" in caplog.messages[-1]


def test_nothing_is_probed_if_nothing_is_open(store, probed, cache, caplog):
    config = resolve_request(
        request(lr=0.01, precision="bf16", memory_format="channels_last"), store.probes
    )
    assert (config.recipe.precision, config.recipe.channels_last, probed) == ("bf16", True, [])


def test_auto_tunes_the_rate_for_the_price_of_two_trials_and_says_so(store, probed, cache, caplog):
    config = resolve_request(request(precision="float32", memory_format="contiguous"), store.probes)
    assert len(config.tuning) == 4
    assert (
        sum(attempt["epochs"] for attempt in config.tuning)
        == MAX_COST_TRIALS * config.recipe.epochs
    )
    best = min(config.tuning, key=lambda attempt: attempt.get("loss", float("inf")))
    assert (config.recipe.lr, config.recipe.decay) == (best["lr"], best["decay"])
    assert f"training with lr {best['lr']:.3g}" in caplog.messages[-1]


GPU = torch.device("cuda")


@pytest.fixture
def measured_workers(monkeypatch):
    """The devices on which workers per GPU were measured; 2 are always best."""
    devices = []

    def measure(backbone, recipe, device):
        del backbone, recipe
        devices.append(device)
        return WorkersPerGPU(2, {1: 1.0, 2: 1.5})

    monkeypatch.setattr(workers_per_gpu, "measure_workers_per_gpu", measure)
    monkeypatch.setattr(probing, "probe_key", lambda *_: {"device": "a GPU"})
    return devices


def test_workers_per_gpu_are_measured_once_where_they_are_open(store, measured_workers, caplog):
    recipe = Recipe.of(data="digits", image_size=16)
    assert autotune_workers_per_gpu(request(), recipe, GPU, store.probes) == 2
    assert autotune_workers_per_gpu(request(), recipe, GPU, store.probes) == 2
    assert measured_workers == ["cuda:0"]
    assert caplog.messages[-1].endswith("--workers-per-gpu overrides this")


def test_workers_measured_on_a_busy_gpu_are_not_cached(
    store, measured_workers, monkeypatch, caplog
):
    busy = WorkersPerGPU(1, {}, "equal epochs differed by 30 %")
    monkeypatch.setattr(workers_per_gpu, "measure_workers_per_gpu", lambda *_: busy)
    recipe = Recipe.of(data="digits", image_size=16)
    assert autotune_workers_per_gpu(request(), recipe, GPU, store.probes) == 1
    assert "too busy to tell what is fastest (equal epochs differed by 30 %)" in caplog.messages[-1]
    question = {"device": "a GPU", "packing": recipe.precision}
    assert store.probes.get(question) is None


@pytest.mark.parametrize(
    ("settings", "device", "number"),
    [({"workers_per_gpu": 4}, GPU, 4), ({"workers": 3}, GPU, 1), ({}, CPU, 1)],
)
def test_workers_per_gpu_are_not_measured_elsewhere(
    store, measured_workers, settings, device, number
):
    recipe = Recipe.of(data="digits", image_size=16)
    assert autotune_workers_per_gpu(request(**settings), recipe, device, store.probes) == number
    assert measured_workers == []
