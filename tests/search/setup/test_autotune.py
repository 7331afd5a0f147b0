"""What is left to auto is measured, said, remembered, and the same for the whole study."""

from __future__ import annotations

import logging

import pytest
import torch
from attentune.runners.calibration import precision as probing
from attentune.runners.calibration.learning_rate import MAX_COST_TRIALS
from attentune.runners.calibration.precision import PrecisionProbe
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


def test_auto_tunes_the_rate_for_the_price_of_two_trials_and_says_so(store, probed, cache, caplog):
    config = resolve_request(request(precision="float32", memory_format="contiguous"), store)
    assert len(config.tuning) == 4
    assert (
        sum(attempt["epochs"] for attempt in config.tuning)
        == MAX_COST_TRIALS * config.recipe.epochs
    )
    best = min(config.tuning, key=lambda attempt: attempt.get("loss", float("inf")))
    assert (config.recipe.lr, config.recipe.decay) == (best["lr"], best["decay"])
    assert f"training with lr {best['lr']:.3g}" in caplog.messages[-1]
