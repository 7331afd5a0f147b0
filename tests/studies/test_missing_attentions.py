"""A study with a plug-in attention, viewed where the plug-in is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attentune
import pytest
from attentune.errors import StudyError
from attentune.spaces.attentions.plugins import register as registration
from attentune.studies.analysis import analyse
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.attention_effects import analyse_effects
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.database.store import Store
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.missing_attentions import missing_note, require_attentions
from attentune.studies.outputs.export import export
from attentune.studies.outputs.report import write_report
from attentune.studies.records import BASELINE, StudyRecord
from torch import nn

Add = Callable[..., int]
WAVE = "attentune-wave 1.2 (attentune_wave:Wave)"


class Wave(nn.Module):
    """Wave attention."""

    def __init__(self, channels: int, reduction_ratio: int = 8, mode: bool = False) -> None:
        super().__init__()
        self.facts = (channels, reduction_ratio, mode)

    def forward(self, x):
        return x


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "x.db")


@pytest.fixture
def uninstall(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """`wave` and `ripple` are here, until this is called."""
    monkeypatch.setattr(registration, "_registered", {})
    for name in ("wave", "ripple"):
        attentune.register_attention(name)(Wave)

    def forget() -> None:
        registration._registered.clear()
        registration._resolve.cache_clear()

    yield forget
    forget()


@pytest.fixture
def waves(
    store: Store, study: StudyRecord, add: Add, uninstall: Callable[[], None]
) -> tuple[StudyRecord, dict[str, Any]]:
    """A study without its plug-in, and what it showed when that was still there."""
    add("resnet18", 0.60, 1000, role=BASELINE)
    add("resnet18+se(r=16)@all.residual", 0.62, 1100, role=BASELINE)
    add("resnet18+wave(r=4,mode=true)@s1-s2.residual", 0.70, 1200)
    add("resnet18+wave(r=8)@s3.mid+eca@s4.mid", 0.65, 1300)
    add("resnet18+wave(r=2)@all.post")
    study = store.studies.change_config(study, lambda _: {"plugins": {"wave": WAVE}})
    shown = analyse.show_json(study, store.trials.read(study))
    assert missing_note(study, store.trials.read(study)) is None
    uninstall()
    return study, shown


Waves = tuple[StudyRecord, dict[str, Any]]


def test_everything_is_shown_as_before(store: Store, waves: Waves) -> None:
    study, before = waves
    trials = store.trials.read(study)
    assert analyse.show_json(study, trials) == before
    assert [t["architecture"] for t in before["trials"]][2:4] == [
        "resnet18+wave(r=4,mode=true)@s1-s2.residual",
        "resnet18+wave(r=8)@s3.mid+eca@s4.mid",
    ]
    findings = analyse.analyse(study, trials)
    assert [summary.number for summary in findings.front] == before["pareto"] == [0, 1, 2]
    table = TrialTable.of(trials)
    effects = analyse_effects(ArchitectureTable.of(table, StudyModel.of(study)), table.rows)
    assert effects.by_stage.attentions == ("se", "eca", "wave")
    assert effects.by_stage.cells["wave", "s1"].mean > 0
    assert [analyse.main_attention(s.architecture, 4) for s in findings.architectures] == [
        "none",
        "se",
        "wave",
        "mixed",
    ]


def test_the_report_is_whole_and_says_what_is_missing(
    store: Store, waves: Waves, tmp_path: Path
) -> None:
    page = write_report(store, waves[0], tmp_path / "report.html").read_text("utf-8")
    assert "+wave(r=4,mode=true)@s1-s2.residual" in page
    assert f"This study uses the attention &#39;wave&#39; of {WAVE}, which is not installed" in page
    assert '"name":"wave"' in page


def test_the_note_names_the_attention_its_package_and_the_remedy(
    store: Store, waves: Waves
) -> None:
    study, _ = waves
    note = missing_note(study, store.trials.read(study))
    assert note.startswith(
        f"This study uses the attention 'wave' of {WAVE}, which is not installed"
    )
    assert note.endswith("install the package, or name its module in ATTENTUNE_PLUGINS.")
    assert missing_note(study, [store.trials.get(study, 1)]) is None
    unknown = missing_note(
        store.studies.change_config(study, lambda _: {}), store.trials.read(study)
    )
    assert "uses the attention 'wave', which is not installed here" in unknown


def test_several_are_named_together(waves: Waves) -> None:
    with pytest.raises(StudyError) as caught:
        require_attentions(waves[0], "the study", ["se", "wave", "ripple", "wave"])
    assert str(caught.value) == (
        f"the study needs the attentions 'wave' of {WAVE} and 'ripple', which are not installed "
        "here; install the package, or name its module in ATTENTUNE_PLUGINS."
    )


def test_a_module_that_cannot_be_imported_is_the_note(
    store: Store, waves: Waves, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, before = waves
    monkeypatch.setenv("ATTENTUNE_PLUGINS", "no_such_module")
    trials = store.trials.read(study)
    assert "'no_such_module', which cannot be imported" in missing_note(study, trials)
    assert missing_note(study, trials[:2]) is None
    assert analyse.show_json(study, trials) == before


def test_a_module_that_is_named_is_enough(
    store: Store, waves: Waves, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = "import attentune\nfrom torch import nn\n@attentune.register_attention('wave')\n"
    code += "class Wave(nn.Module):\n    def __init__(self, channels): super().__init__()\n"
    (tmp_path / "my_wave_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ATTENTUNE_PLUGINS", "my_wave_module")
    assert missing_note(waves[0], store.trials.read(waves[0])) is None
    del sys.modules["my_wave_module"]


def test_an_export_of_such_a_trial_is_refused(store: Store, waves: Waves, tmp_path: Path) -> None:
    study, _ = waves
    with pytest.raises(StudyError, match="trial 2 of 'first' needs the attention 'wave' of"):
        export(store, study, store.trials.get(study, 2), tmp_path / "model")
    assert not (tmp_path / "model").exists()
