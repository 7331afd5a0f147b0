"""The built-in evaluator: costs as far as they are asked for, and the accuracy that is reported."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
import torch
from attentune.errors import AttentuneError
from attentune.runners.classification_metrics import compute_metrics
from attentune.runners.costs import count_costs
from attentune.runners.data import load_data, prepare_data
from attentune.runners.events import Decision, EpochDone, Failed, Finished, Rejected
from attentune.runners.latency import Latency, TimedNetwork
from attentune.runners.predictions import read_predictions
from attentune.runners.results import PREDICTIONS_FILE, Costs
from attentune.runners.workers import measured_costs, recipe_evaluator
from attentune.runners.workers.recipe_evaluator import (
    describe_kernels,
    load_device_data,
    measure_costs,
)
from attentune.runners.workers.trial import run_trial
from attentune.spaces.attentions.eca import EfficientChannelAttention
from attentune.spaces.networks.build import build_network

CPU = torch.device("cpu")


@pytest.fixture
def model(job):
    return build_network(job.architecture, num_classes=10, image_size=16, seed=0)


def run(job):
    events = []
    run_trial(job, lambda event: (events.append(event), Decision.GO_ON)[1], device=CPU)
    return events[-1]


def test_only_counts_are_known_unless_more_is_asked_for(job, model):
    costs, disturbance = measure_costs(model, job, 10, CPU)
    assert costs == count_costs(model, 16)
    assert (costs.latency_ms, costs.latency_ratio, costs.memory_mib) == (None, None, None)
    assert disturbance is None


@pytest.fixture
def latencies(monkeypatch):
    """Simulate measurements, and count them."""
    measured = []

    def measure_latency(network, _device):
        measured.append(network)
        return Latency(6.0, 0.5, 1.25, 0.031, "no core was idle")

    monkeypatch.setattr(measured_costs, "measure_latency", measure_latency)
    return measured


def test_latency_is_the_measured_ratio_times_the_studys_reference(job, model, latencies):
    job = replace(
        job,
        measure=("latency_ms", "memory_mib"),
        reference_latency_ms=100.0,
        reference_latency_error_ms=2.0,
    )
    costs, disturbance = measure_costs(model, job, 10, CPU)
    assert latencies == [TimedNetwork(job.architecture, 16, 10)]
    assert (costs.latency_ms, costs.latency_ratio) == (125.0, 1.25)
    assert (costs.latency_ms_error, costs.latency_ratio_error) == (4.0, 0.031)
    assert costs.memory_mib > 0
    assert disturbance == "no core was idle"


def test_a_latency_that_the_study_has_measured_is_not_measured_again(job, model, latencies):
    counted = count_costs(model, 16)
    known = replace(counted, latency_ms=3.0, latency_ratio=1.5, latency_ratio_error=0.1)
    job = replace(job, measure=("latency_ms",), costs=known)
    assert measure_costs(model, job, 10, CPU) == (known, None)
    assert not latencies


def test_what_was_measured_on_a_busy_machine_or_near_a_limit_says_so(job, latencies):
    job = replace(job, measure=("latency_ms",), limits={"latency_ms": 5.8})
    facts = run(job).result.environment
    assert facts["latency"] == "measured on a busy machine: no core was idle"
    assert facts["limit"] == "latency_ms is 6 ± 0.5, within its noise of the limit of 5.8"


def test_a_latency_above_the_limit_by_more_than_its_noise_is_rejected(job, latencies):
    rejected = run(replace(job, measure=("latency_ms",), limits={"latency_ms": 4.9}))
    assert isinstance(rejected, Rejected)
    assert rejected.reason == (
        "latency_ms is 6 ± 0.5, above the limit of 4.9 by more than its noise"
    )


def test_a_network_that_was_predicted_otherwise_is_refused(job, model):
    with pytest.raises(AttentuneError, match="1 were predicted"):
        measure_costs(model, replace(job, costs=Costs(params=1, macs=1)), 10, CPU)


def test_a_confirmation_reports_the_accuracy_on_the_test_split(job, tmp_path):
    validated, tested = run(job), run(replace(job, test=True, folder=tmp_path / "tested"))
    assert isinstance(validated, Finished)
    assert isinstance(tested, Finished)
    assert validated.result.accuracy != tested.result.accuracy


def test_a_test_split_on_which_nothing_is_finite_has_diverged(job, monkeypatch):
    evaluate = recipe_evaluator.evaluate

    def spoiled(*args, **options):
        return evaluate(*args, **options)._replace(loss=float("nan"))

    monkeypatch.setattr(recipe_evaluator, "evaluate", spoiled)
    failed = run(replace(job, test=True))
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "diverged"
    assert "on the test split" in failed.failure.message
    assert not list(job.folder.glob("*.safetensors"))


def test_data_without_a_test_split_cannot_be_confirmed(job, monkeypatch):
    recipe = job.recipe.model_copy(update={"epochs": 1, "data_seed": 3})
    dataset = replace(load_data(recipe), test=None)
    monkeypatch.setattr(recipe_evaluator, "load_data", lambda *_, **__: dataset)
    failed = run(replace(job, recipe=recipe, test=True))
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "invalid"
    assert "no test split" in failed.failure.message


def test_kernels_that_were_never_wanted_are_not_mentioned():
    assert describe_kernels(torch.device("meta")) == {}


@pytest.fixture
def limit_images(monkeypatch):
    """Let memory run out if an attention gets more than `most` images."""

    def limit_images(most):
        forward = EfficientChannelAttention.forward

        def forward_if_memory(self, x):
            if len(x) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")
            return forward(self, x)

        monkeypatch.setattr(EfficientChannelAttention, "forward", forward_if_memory)

    return limit_images


def test_a_trial_that_runs_out_of_memory_is_trained_with_micro_batches_and_says_so(
    job, limit_images
):
    plain = run(job)
    limit_images(16)
    finished = run(replace(job, folder=job.folder.with_name("small")))
    assert isinstance(finished, Finished)
    assert finished.result.environment["micro-batches"] == "4"
    assert "micro-batches" not in plain.result.environment
    assert finished.result.accuracy == pytest.approx(plain.result.accuracy, abs=0.3)
    momenta = {module.momentum for module in network_modules(job) if hasattr(module, "momentum")}
    assert momenta == {0.1}  # The worker's backbone trains other trials afterwards.


def test_a_paused_trial_goes_on_with_the_micro_batches_that_it_was_trained_with(
    job, limit_images, monkeypatch
):
    def pause(event):
        is_first = isinstance(event, EpochDone) and event.report.epoch == 1
        return Decision.PAUSE if is_first else Decision.GO_ON

    limit_images(16)
    whole = run(replace(job, folder=job.folder.with_name("whole")))
    run_trial(job, pause, device=CPU)
    monkeypatch.undo()  # Meanwhile there is enough memory.
    finished = run(job)
    assert finished.result.environment["micro-batches"] == "4"
    assert finished.result.accuracy == whole.result.accuracy


def test_a_trial_that_runs_out_of_memory_with_micro_batches_too_fails_as_that(job, limit_images):
    limit_images(8)
    failed = run(job)
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "out_of_memory"
    assert failed.failure.message.endswith("(also with 4 micro-batches per step)")


def test_a_network_of_one_channel_is_trained_on_grey_images(job):
    settings = {"epochs": 1, "in_chans": 1, "color_jitter": 0.2, "randaugment": 5.0}
    finished = run(replace(job, recipe=job.recipe.model_copy(update=settings)))
    grey = build_network(job.architecture, num_classes=10, image_size=16, in_chans=1, seed=0)
    assert finished.result.costs == count_costs(grey, 16, 1)


def network_modules(job):
    """The modules of the next network of the job's backbone."""
    backbone = recipe_evaluator.load_backbone(
        job.architecture.backbone, "native", 16, ("scratch", None), 3, 10, CPU
    )
    with backbone.network(job.architecture, job.seed) as model:
        return list(model.modules())


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_accuracy_follows_exactly_from_the_predictions(job, split):
    job = replace(job, test=split == "test", data_key=prepare_data(job.recipe).key)
    finished = run(job)
    predictions, facts = read_predictions(job.folder / PREDICTIONS_FILE)
    labels = getattr(load_data(job.recipe), split).labels
    assert predictions.accuracy == finished.result.accuracy
    assert predictions.labels.tolist() == labels.tolist()
    metrics = compute_metrics(predictions)
    assert metrics == {"accuracy": finished.result.accuracy, **finished.result.metrics}
    assert len(metrics) == 6
    assert predictions.probabilities.shape == (len(labels), 10)
    most_probable = predictions.log_probabilities.max(1)
    of_predicted = predictions.log_probabilities[range(len(labels)), predictions.predicted]
    assert (of_predicted == most_probable).all()
    assert (facts["identity"], predictions.data_key) == (job.identity, job.data_key)


def test_no_probabilities_above_the_limit_and_no_predictions_if_none_are_kept(job):
    job = replace(job, recipe=job.recipe.model_copy(update={"epochs": 1}))
    limited = replace(job, max_predictions_mib=1e-4, folder=job.folder / "limited")
    accuracy = run(limited).result.accuracy
    predictions, _ = read_predictions(limited.folder / PREDICTIONS_FILE)
    assert predictions.log_probabilities is None
    assert predictions.accuracy == accuracy
    without = replace(job, keep_predictions="none", folder=job.folder / "without")
    result = run(without).result
    assert result.accuracy == accuracy
    assert len(result.metrics) == 5, "metrics are computed all the same"
    assert not (without.folder / PREDICTIONS_FILE).exists()


def test_a_worker_keeps_data_for_trials_of_any_length_but_of_one_image_size(tiny_recipe):
    longer = tiny_recipe.model_copy(update={"epochs": 2 * tiny_recipe.epochs})
    larger = tiny_recipe.model_copy(update={"image_size": tiny_recipe.image_size + 4})
    _, data = load_device_data(tiny_recipe, CPU)
    assert load_device_data(longer, CPU)[1] is data
    kept = weakref.ref(data)
    del data
    load_device_data(larger, CPU)
    assert kept() is None, "the smaller images are freed"


def test_costs_that_are_known_already_are_kept(job, model):
    counted = count_costs(model, 16)
    known = Costs(counted.params, counted.macs, 1.5, 1.2, 30.0)
    assert measure_costs(model, replace(job, costs=known), 10, CPU) == (known, None)
