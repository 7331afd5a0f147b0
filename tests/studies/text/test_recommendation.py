"""What an export says of an architecture that the study does not recommend."""

from __future__ import annotations

from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.recommendation import recommend
from attentune.studies.objectives import ACCURACY
from attentune.studies.records import TrialRecord
from attentune.studies.text.recommendation import export_note
from example_records import BARE, study, trial

SE, ECA = f"{BARE}+se(r=2)@all.residual", f"{BARE}+eca@s1.residual"


def notes(trials: list[TrialRecord]) -> dict[str, str | None]:
    """The note of each architecture."""
    findings = analyse(study(), trials)
    recommendation = recommend(findings, None)
    return {
        str(summary.architecture): export_note(recommendation, summary, ACCURACY)
        for summary in findings.architectures
    }


def test_another_architecture_than_the_recommended_one_is_exported_with_its_number() -> None:
    said = notes(
        [
            *(trial(s, BARE, 0.60, seed=s, params=1000) for s in range(4)),
            *(trial(10 + s, SE, 0.72, seed=s, params=2000) for s in range(4)),
            *(trial(20 + s, ECA, 0.718, seed=s, params=1010) for s in range(4)),
        ]
    )
    other = "The study recommends `eca@s1.residual`; --pick 20 exports it."
    assert said[ECA] is None
    assert said[SE] == other
    assert said[BARE] == f"This is the bare backbone, without any attention. {other}"


def test_where_attention_is_not_worth_it_the_bare_backbone_is_named() -> None:
    said = notes([trial(0, BARE, 0.6), trial(1, SE, 0.5)])
    assert said[BARE] == "This is the bare backbone, without any attention."
    assert (said[SE] or "").startswith("This architecture is not better than the bare backbone by ")
    assert (said[SE] or "").endswith(" The study recommends the bare `net`; --pick 0 exports it.")
