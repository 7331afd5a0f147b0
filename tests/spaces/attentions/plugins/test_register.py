"""Users' own attentions by decorator: in texts, in search spaces, and in exports."""

from __future__ import annotations

import json
from pathlib import Path

import attentune
import pytest
import torch
from attentune.errors import ArchitectureError, StoreError
from attentune.spaces.architecture import Insertion, parse
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.networks.canonical import resolve_architecture
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space
from torch import nn


class Doubled(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return 2 * x


def test_text_is_read_written_and_built_like_any_other(register):
    register()
    text = "test_resnet+wave(r=4,waves=3,gain=0.25,joined=true,mode=product)@s2-s4.residual"
    assert str(parse(text)) == text
    assert str(resolve_architecture(text, image_size=64)[0]) == text
    model = attentune.create_model(text, num_classes=5, image_size=64, seed=1).eval()
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 5)
    assert any(key.endswith("attention.wave.up.weight") for key in model.state_dict())


def test_values_of_another_type_are_made_the_options_own(register):
    register()
    by_value, by_text = Insertion.of("wave", "mid", gain=2), parse("a+wave(gain=2)@all.mid")
    assert str(by_value) == str(by_text.insertions[0]) == "wave(r=8,gain=2.0)@all.mid"
    huge = parse("a+wave(gain=1e20)@all.mid")
    assert parse(str(huge)) == huge
    assert str(Insertion.of("fca", "mid", frequencies=8)) == "fca(r=16,frequencies=8)@all.mid"


def test_ratios_mean_hidden_widths_as_everywhere(register):
    register(floor=4)
    assert get_attention("wave").width(64, 32) == 4
    wide, narrow = (
        resolve_architecture(f"test_resnet+wave(r={r})@all.residual")[0] for r in (16, 32)
    )
    assert str(wide).endswith("+wave(r=16)@all.residual")
    assert str(narrow).endswith("+wave(r=32)@all.residual")


def test_space_offers_it(register):
    register()
    space = Space.of(
        attentions=("none", "wave"), ratios=(4, 8), options={"wave": {"gain": (0.5, 1.0)}}
    )
    bound = bind_space(space, resolve_architecture("test_resnet")[1])
    assert bound.count() == (1 + 2 * 2) ** 4
    assert "wave" in str(bound.architecture_at(7))


@pytest.mark.parametrize("name", ["se", "none", "two words", "3d", ""])
def test_name_that_is_taken_or_no_word_is_refused(register, name):
    with pytest.raises(ArchitectureError, match=repr(name)):
        register(name=name)


def test_registering_again_means_the_later_class(register):
    register()
    register(Doubled)
    assert get_attention("wave").origin.endswith("Doubled")


def test_unknown_name_lists_what_is_registered(register):
    register()
    with pytest.raises(ArchitectureError, match="did you mean 'wave'"):
        Insertion.of("wafe", "mid")


def test_loading_an_export_without_the_plug_in_names_it(tmp_path):
    facts = {
        "format": 1,
        "architecture": "resnet18+wave@all.mid",
        "plugins": {"wave": "attentune-wave 1.2 (attentune_wave:Wave)"},
    }
    (tmp_path / "architecture.json").write_text(json.dumps(facts))
    with pytest.raises(StoreError, match=r"'wave' of attentune-wave 1\.2 .* is not installed"):
        attentune.load(tmp_path)


def test_the_example_of_the_guide_works(capsys):
    guide = Path(attentune.__file__).parent / "docs" / "plugins.md"
    code = guide.read_text("utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, "example", "exec"), {"__name__": "example"})
    assert "torch.Size([2, 10])" in capsys.readouterr().out
