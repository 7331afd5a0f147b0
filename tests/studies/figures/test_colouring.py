"""Groups of architectures, and the colour of each."""

from __future__ import annotations

from attentune.studies.analysis.analyse import analyse
from attentune.studies.figures.colouring import (
    MAX_GROUPS,
    OTHERS,
    group_architectures,
    group_colours,
)
from attentune.studies.figures.themes import LIGHT
from example_records import BARE, study, trial


def test_rare_groups_share_a_colour_and_no_two_others_do() -> None:
    ratios = range(2, 2 + MAX_GROUPS + 2)
    texts = [BARE, *(f"{BARE}+se(r={r})@s{s}.mid" for r in ratios for s in (1, 2))]
    texts.remove(f"{BARE}+se(r=2)@s2.mid")
    texts.remove(f"{BARE}+se(r=3)@s2.mid")
    trials = [trial(number, text, 0.5) for number, text in enumerate(texts)]
    summaries = analyse(study(), trials).architectures
    groups = group_architectures(summaries, "ratio", 4)
    assert len(groups) == len(texts)
    assert sorted(groups.values()).count(OTHERS) == 2
    colours = group_colours(groups, "ratio", LIGHT)
    assert list(colours)[-2:] == [OTHERS, "none"]
    distinct = [colour for name, colour in colours.items() if name not in (OTHERS, "none")]
    assert len(distinct) == len(set(distinct)) == MAX_GROUPS


def test_every_attention_has_a_group_of_its_own() -> None:
    names = ("se", "eca", "cbam", "ca")
    trials = [trial(i, f"{BARE}+{name}@s1.mid", 0.5) for i, name in enumerate(names)]
    trials.append(trial(9, f"{BARE}+se@s1.mid+eca@s2.mid", 0.5))
    groups = group_architectures(analyse(study(), trials).architectures, "attention", 4)
    assert list(groups.values()) == [*names, "mixed"]
    assert list(group_colours(groups, "attention", LIGHT)) == ["ca", "se", "eca", "cbam", "mixed"]
