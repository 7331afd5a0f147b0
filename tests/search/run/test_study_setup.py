"""A study exists from the start: a setup that is interrupted is continued by `resume`."""

from __future__ import annotations

import json

import pytest
from attentune.errors import DataError, MachineError, StudyError
from attentune.search.cli import shared, summary
from attentune.search.run import session, study_setup
from attentune.search.run.session import create_study, delete_study, run_study
from attentune.search.run.study_lease import hold_lease
from attentune.search.run.study_setup import request_json, set_up
from attentune.search.setup import resolve
from attentune.search.setup.request import SearchRequest, read_request
from attentune.studies.analysis.analyse import analyse
from attentune.studies.outputs.export import pick_trial
from attentune.studies.outputs.report import write_report
from attentune.studies.outputs.study_json import listed_study_json, study_json
from attentune.studies.outputs.study_list import list_studies
from attentune.studies.text.summary import summary_sentence
from rich.console import Console

REQUEST = {
    "backbone": "test_resnet",
    "data": "digits",
    "image_size": 16,
    "train_limit": 256,
    "epochs": 2,
    "trials": 6,
    "workers": 1,
    "device": "cpu",
    "precision": "float32",
    "memory_format": "channels_last",
    "weight_decay": 0.01,
}


@pytest.fixture(autouse=True)
def formula_pools(bench, monkeypatch):
    """Workers need no time, and no learning rate is tuned."""
    monkeypatch.setattr(session, "make_pool", lambda *_: bench.new_pool())
    monkeypatch.setattr(session, "warm_up", lambda: None)
    monkeypatch.setattr(
        resolve, "autotune_learning_rate", lambda _request, recipe, *_: (recipe, ())
    )


def end_setup_with(monkeypatch, error):
    """Let the setup end with this exception while it tunes the learning rate."""

    def fail(*_):
        raise error

    monkeypatch.setattr(resolve, "autotune_learning_rate", fail)


def interrupted_study(bench):
    """A study whose setup was interrupted while it tuned the learning rate."""
    with pytest.MonkeyPatch.context() as patched:
        end_setup_with(patched, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            create_study(bench.store, "s", read_request(REQUEST, None), None, "command")
    return bench.store.studies.get("s")


def test_a_resume_sets_up_what_was_interrupted_as_if_it_had_not_been(bench):
    record = interrupted_study(bench)
    assert record.config.is_being_set_up
    assert bench.store.leases.holder(record) is None
    assert run_study(bench.store, record).trials == 6
    whole = create_study(bench.store, "whole", read_request(REQUEST, None), None, "command")
    run_study(bench.store, whole)
    resumed = bench.store.studies.get("s")
    assert resumed.config.json == whole.config.json
    assert not resumed.config.is_being_set_up
    assert (resumed.backbone, resumed.objectives, resumed.seed) == (
        resumed.config.study.backbone,
        resumed.config.study.keys,
        resumed.config.study.seed,
    )
    assert bench.rows("s") == bench.rows("whole")


def test_a_study_that_is_being_set_up_is_shown_as_such_everywhere(bench, tmp_path, monkeypatch):
    store, record = bench.store, interrupted_study(bench)
    console = Console(record=True, width=100)
    for module in (shared, summary):
        monkeypatch.setattr(module, "out", console)
    [listed] = list_studies(store)
    assert listed_study_json(listed)["being_set_up"] is True
    shown = json.loads(json.dumps(study_json(store, record)))
    assert (shown["being_set_up"], shown["trials"], shown["best"]) == (True, [], None)
    assert "is being set up" in summary_sentence(record, analyse(record, []))
    summary.print_studies([listed])
    summary.print_summary(store, record)
    assert console.export_text().count("being set up") == 2
    assert "is being set up" in write_report(store, record, tmp_path / "r.html").read_text("utf-8")
    for use in (
        lambda: record.config.study,
        lambda: record.config.plan,
        lambda: session.confirm_study(store, record),
    ):
        with pytest.raises(StudyError, match=r"still being set up.*`attentune resume s` continues"):
            use()
    with pytest.raises(StudyError):
        pick_trial(store, record, "best")
    delete_study(store, "s")
    assert store.studies.read_all() == []


def test_while_one_process_sets_a_study_up_no_other_process_does(bench):
    record = interrupted_study(bench)
    with hold_lease(bench.store, record), pytest.raises(StudyError, match="is being run"):
        run_study(bench.store, record)
    completed = set_up(bench.store, record)
    assert set_up(bench.store, record).config.json == completed.config.json, "set up once"


def test_a_name_that_is_being_set_up_is_taken(bench):
    interrupted_study(bench)
    with pytest.raises(StudyError, match=r"exists already.*`attentune resume s`"):
        create_study(bench.store, "s", read_request(REQUEST, None))


@pytest.mark.parametrize(
    ("error", "remains"),
    [
        (DataError("no images"), False),
        (ValueError("a fault of the program"), False),
        (MachineError("no space left"), True),
        (OSError(28, "No space left on device"), True),
        (SystemExit(143), True),
    ],
)
def test_a_request_that_cannot_be_carried_out_leaves_no_study(bench, monkeypatch, error, remains):
    end_setup_with(monkeypatch, error)
    with pytest.raises(type(error)):
        create_study(bench.store, "s", read_request(REQUEST, None))
    assert [record.name for record in bench.store.studies.read_all()] == ["s"] * remains


def test_a_resume_may_name_another_device_before_the_study_is_set_up(bench):
    record = interrupted_study(bench)
    config = {
        **record.config.json,
        "request": {**record.config.json["request"], "device": "cuda:7"},
    }
    record = bench.store.studies.change_config(record, lambda _: config)
    with pytest.raises(Exception, match="cuda"):
        run_study(bench.store, record)
    assert bench.store.studies.get("s").config.json == config
    assert run_study(bench.store, record, [], {"device": "cpu", "trials": 7}).trials == 7
    plan = bench.store.studies.get("s").config.plan
    assert (plan.device, plan.trials) == ("cpu", 7)


def test_a_stored_request_that_another_version_wrote_is_refused(bench):
    record = interrupted_study(bench)
    record = bench.store.studies.change_config(record, lambda _: {"request": {"depth": 3}})
    with pytest.raises(StudyError, match=r"request of 's' cannot be read; .*attentune rm"):
        run_study(bench.store, record)


REQUESTS = [
    {},
    {"objective": ["accuracy", "latency"], "max_latency": "8ms", "max_params": "5M"},
    {"budget": "2h", "device_budget": 3600, "trial_timeout": "30m", "max_weights_size": "2GiB"},
    {"pruner": "asha:first=0.3,eta=4", "sampler": "tpe", "seed": 7, "workers_per_gpu": 2},
    {"attention": ["se", "eca"], "ratio": [4, 8], "position": ["post"], "granularity": "block"},
    {"lr": "0.01", "precision": "bf16", "memory_format": "auto", "init": "pretrained"},
]


@pytest.mark.parametrize("settings", REQUESTS)
def test_a_request_is_stored_without_loss(settings):
    request = read_request({**REQUEST, **settings}, None)
    stored = json.loads(json.dumps(request_json(request)))
    restored = SearchRequest.model_validate(stored)
    assert restored == request
    assert restored.plan == request.plan
    assert restored.recipe_settings == request.recipe_settings
    assert [restored.is_open(name) for name in SearchRequest.model_fields] == [
        request.is_open(name) for name in SearchRequest.model_fields
    ]


def test_paths_are_stored_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "digits", "quick"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine.toml").write_text("")
    stored = request_json(read_request({**REQUEST, "data": "photos", "space": "mine.toml"}, None))
    assert (stored["data"], stored["space"]) == (
        str(tmp_path / "photos"),
        str(tmp_path / "mine.toml"),
    )
    stored = request_json(read_request(REQUEST, None))
    assert (stored["data"], stored["space"]) == ("digits", "quick"), "they come before folders"


def test_the_key_of_a_request_is_the_one_that_readers_know():
    assert study_setup.REQUEST == "request"
