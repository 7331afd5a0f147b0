"""Search spaces: validated documents that hold, on a backbone, only different networks."""

from __future__ import annotations

import pytest
from attentune.errors import SpaceError
from attentune.spaces.search_space.space import load_space, preset_names


def test_the_presets_are_there_and_quick_is_one_of_them():
    assert preset_names() == ["full", "quick", "where"]
    assert load_space("quick", ratios=(4,)).ratios == (4,)


WRONG = [
    ("attentions = ['ecca']", "did you mean 'eca'"),
    ("attentions = ['none']", "at least one attention"),
    ("attentions = []", "at least one attention"),
    ("attentions = ['se']\nratios = [0]", "≥ 1"),
    ("attentions = ['se']\npositions = ['middle']", "unknown position"),
    ("attentions = ['se']\ngranularity = 'pixel'", "granularity"),
    ("attentions = ['se']\nratio = [4]", "ratio"),
    ("attentions = ['cbam']\n[options.cbam]\nk = [4]", "odd"),
    ("attentions = ['cbam']\n[options.cbam]\nq = [4]", "no option 'q'"),
    ("attentions = ['se']\n[options.se]\nr = [4]", "use `ratios`"),
    ("attentions = ['se']\ngranularity = 'network'\nstages = [2]", "granularity stage or block"),
    ("attentions = [", "not valid TOML"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_a_wrong_document_is_refused_in_a_sentence(tmp_path, text, sentence):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(SpaceError) as caught:
        load_space(str(file))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_space_that_is_nowhere_is_refused_with_the_presets():
    with pytest.raises(SpaceError, match="did you mean 'quick'"):
        load_space("quik")
