"""Search spaces: validated documents that hold, on a backbone, only different networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from attentune.errors import SpaceError
from attentune.spaces.search_space.space import Space, load_space, preset_names
from chaos.odd_settings import TOML_VALUES


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


@pytest.mark.parametrize("name", Space.model_fields)
def test_a_field_of_a_wrong_type_is_refused_with_its_name(name, tmp_path):
    messages = refusals({"attentions": "['se']"}, name, tmp_path)
    assert len(messages) > len(TOML_VALUES) / 3
    assert [message for message in messages if name not in message] == []


@pytest.mark.parametrize("name", ["options.se", "options.cbam.k", "options.bogus.k"])
def test_an_option_of_a_wrong_type_is_refused_in_a_sentence(name, tmp_path):
    messages = refusals({"attentions": "['se', 'cbam']"}, name, tmp_path)
    assert len(messages) > len(TOML_VALUES) / 2
    assert [message for message in messages if "options" not in message] == []


def refusals(fields: dict[str, str], name: str, folder: Path) -> list[str]:
    """The messages about spaces in which a field has each of `TOML_VALUES` that is refused."""
    messages = []
    for value in TOML_VALUES:
        lines = [f"{key} = {text}" for key, text in {**fields, name: value}.items()]
        (folder / "mine.toml").write_text("\n".join(lines), "utf-8")
        try:
            load_space(str(folder / "mine.toml"))
        except SpaceError as error:
            messages.append(str(error))
    return messages


@pytest.mark.parametrize("content", [b"about = 'gr\xfc\xdfe'", b"a = [" * 50_000, b"\xff\xfe"])
def test_a_file_that_is_no_toml_in_utf_8_is_refused(content, tmp_path):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(SpaceError, match=r"mine\.toml is not"):
        load_space(str(tmp_path / "mine.toml"))


def test_own_attention_is_kept_unless_a_space_says_otherwise():
    assert load_space("quick").own_attention == "keep"
    assert load_space("quick", own_attention="search").own_attention == "search"
    assert Space.of(own_attention="search", attentions=("none",)).attentions == ("none",)
    with pytest.raises(SpaceError, match=r"beside none, unless own attention is searched"):
        Space.of(own_attention="remove", attentions=("none",))


@pytest.mark.parametrize(("strips", "policy"), [(False, "keep"), (True, "remove")])
def test_a_space_of_an_earlier_version_is_read(strips, policy):
    assert Space.of(attentions=("se",), strip_attention=strips).own_attention == policy
