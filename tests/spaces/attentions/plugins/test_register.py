"""People's own attention: by decorator and by entry point, and all that can be wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import attentune
import pytest
import torch
from attentune.errors import ArchitectureError, AttentuneError, StoreError
from attentune.spaces.architecture import Insertion, parse
from attentune.spaces.attentions.entry import Option
from attentune.spaces.attentions.plugins import register as registration
from attentune.spaces.attentions.registry import attention
from attentune.spaces.networks.canonical import resolve_architecture
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space
from torch import nn


@pytest.fixture(autouse=True)
def _forget_what_a_test_registers(monkeypatch):
    monkeypatch.setattr(registration, "_registered", {})
    registration._resolve.cache_clear()
    yield
    registration._resolve.cache_clear()


class Wave(nn.Module):
    """A gate from a few waves over the channels.

    More words that are no title.
    """

    def __init__(
        self,
        channels: int,
        reduction_ratio: int = 8,
        waves: int = 2,
        gain: float = 0.5,
        joined: bool = False,
        mode: Literal["sum", "product"] = "sum",
    ) -> None:
        super().__init__()
        assert isinstance(joined, bool)
        assert mode in ("sum", "product")
        self.gain = gain
        self.down = nn.Linear(channels, max(1, channels // reduction_ratio), bias=False)
        self.up = nn.Linear(max(1, channels // reduction_ratio), channels * waves, bias=False)

    def forward(self, x):
        gates = self.up(self.down(x.mean((2, 3)))).unflatten(1, (-1, x.shape[1])).sum(1)
        return x * (self.gain * gates).sigmoid()[:, :, None, None]


def register(cls: type = Wave, name: str = "wave", **facts) -> None:
    attentune.register_attention(name, **facts)(cls)


# --- what the class shows of itself ---------------------------------------------------------------


def test_options_come_from_the_signature():
    register(kind="channel")
    entry = attention("wave")
    assert entry.title == "A gate from a few waves over the channels."
    assert entry.kind == "channel"
    assert entry.origin.endswith("test_register:Wave")
    assert entry.defaults == {
        "r": 8,
        "waves": 2,
        "gain": 0.5,
        "joined": False,
        "mode": "sum",
        "start": "paper",
    }
    assert entry.option("mode").legal == "sum or product"
    assert entry.option("gain").parse("1e-3") == 0.001
    with pytest.raises(ValueError, match="gain must be number, not 'inf'"):
        entry.option("gain").parse("inf")
    with pytest.raises(ValueError, match=r"waves must be whole number, not '2\.5'"):
        entry.option("waves").parse("2.5")


def test_a_declared_option_says_more_than_the_signature():
    register(options=[Option("waves", 2, "how many", low=1, high=9)])
    entry = attention("wave")
    assert list(entry.defaults) == ["waves", "start"]
    assert entry.option("waves").legal == "whole number ≥ 1 and ≤ 9"
    with pytest.raises(ArchitectureError, match="whole number ≥ 1 and ≤ 9"):
        parse("resnet18+wave(waves=10)@all.mid")


def test_text_is_read_written_and_built_like_any_other():
    register()
    text = "test_resnet+wave(r=4,waves=3,gain=0.25,joined=true,mode=product)@s2-s4.residual"
    assert str(parse(text)) == text
    assert str(resolve_architecture(text, image_size=64)[0]) == text
    model = attentune.create_model(text, num_classes=5, image_size=64, seed=1).eval()
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 5)
    assert any(key.endswith("attention.wave.up.weight") for key in model.state_dict())


def test_values_of_another_type_are_made_the_options_own():
    register()
    by_value, by_text = Insertion.of("wave", "mid", gain=2), parse("a+wave(gain=2)@all.mid")
    assert str(by_value) == str(by_text.insertions[0]) == "wave(r=8,gain=2.0)@all.mid"
    huge = parse("a+wave(gain=1e20)@all.mid")
    assert parse(str(huge)) == huge
    assert str(Insertion.of("fca", "mid", frequencies=8)) == "fca(r=16,frequencies=8)@all.mid"


def test_ratios_mean_hidden_widths_as_everywhere():
    register(floor=4)
    assert attention("wave").width(64, 32) == 4
    wide, narrow = (
        resolve_architecture(f"test_resnet+wave(r={r})@all.residual")[0] for r in (16, 32)
    )
    assert str(wide).endswith("+wave(r=16)@all.residual")
    assert str(narrow).endswith("+wave(r=32)@all.residual")


def test_space_offers_it():
    register()
    space = Space.of(
        attentions=("none", "wave"), ratios=(4, 8), options={"wave": {"gain": (0.5, 1.0)}}
    )
    bound = bind_space(space, resolve_architecture("test_resnet")[1])
    assert bound.count() == (1 + 2 * 2) ** 4
    assert "wave" in str(bound.architecture_at(7))


# --- parameters and starts ------------------------------------------------------------------------


def test_parameters_are_counted_on_a_module_if_there_is_no_formula():
    register()
    settings = {**attention("wave").defaults, "waves": 3}
    assert attention("wave").parameters(64, settings, (7, 7)) == 64 * 8 + 8 * 3 * 64


def test_a_formula_that_is_wrong_is_noticed_when_the_network_is_built():
    register(parameters=lambda *_: 1)
    with pytest.raises(AttentuneError, match=r"wave at s1b1.* of .*test_register:Wave gives 1;"):
        attentune.create_model("test_resnet+wave@s1.residual", image_size=64)


def test_every_class_has_an_identity_start_that_can_be_left():
    register()
    settings = {**attention("wave").defaults, "start": "identity"}
    module = attention("wave").load()(16, reduction_ratio=8, start="identity")
    assert sum(p.numel() for p in module.parameters()) == (
        attention("wave").parameters(16, settings, (7, 7))
    )
    x = torch.randn(3, 16, 5, 4)
    assert torch.equal(module(x), x)
    (module(x) - torch.randn(3, 16, 5, 4)).square().mean().backward()
    assert module.weight.grad != 0


def test_a_class_that_takes_start_makes_its_own():
    class Started(nn.Module):
        def __init__(self, channels, start="paper"):
            super().__init__()
            self.scale = nn.Parameter(torch.full((channels, 1, 1), 1.0 - (start == "paper") / 2))

        def forward(self, x):
            return x * self.scale

    register(Started, "started")
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(attention("started").load()(4, start="identity")(x), x)
    assert torch.equal(attention("started").load()(4, start="paper")(x), x / 2)
    assert attention("started").parameters(4, {"start": "identity"}, (1, 1)) == 4


def test_checking_a_class_leaves_random_numbers_and_statistics_alone():
    class Noisy(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.bn = nn.BatchNorm2d(channels)

        def forward(self, x):
            return self.bn(x + torch.rand_like(x))

    register(Noisy, "noisy")
    before = torch.random.get_rng_state()
    module = attention("noisy").load()(4, start="paper")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert module.training
    assert module.bn.num_batches_tracked == 0


# --- what can be wrong ----------------------------------------------------------------------------


class Shrinks(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return x[:, :, 1:]


class ReturnsPair(Shrinks):
    def forward(self, x):
        return x, x


class Raises(Shrinks):
    def forward(self, x):
        raise IndexError(f"no wave {len(x)}")


class RaisesWhenMade(nn.Module):
    def __init__(self, channels):
        raise KeyError(channels)


class NoModule:
    def __init__(self, channels):
        self.channels = channels


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Shrinks, r"'bad' of .*Shrinks changes the shape: \(2, 96?, 5, 7\) became"),
        (ReturnsPair, "'bad' of .*ReturnsPair changes the shape.* became no tensor"),
        (Raises, "'bad' of .*Raises raises on a map .*IndexError: no wave 2"),
        (RaisesWhenMade, "'bad' of .* raises when it is made for .* channels .KeyError"),
        (NoModule, "'bad' of .*NoModule is no torch.nn.Module"),
    ],
)
def test_broken_class_is_reported_by_name(cls, words):
    register(cls, "bad", parameters=lambda *_: 0)
    words = words.replace("96?", r"\d+")
    with pytest.raises(AttentuneError, match=words):
        attentune.create_model("test_resnet+bad@s1.residual", image_size=64)


class Required(Shrinks):
    def __init__(self, channels, waves):
        super().__init__(channels + waves)


class FreeText(Shrinks):
    def __init__(self, channels, mode="sum"):
        super().__init__(channels + len(mode))


class NoChannels(Shrinks):
    def __init__(self):
        super().__init__(1)


@pytest.mark.parametrize(
    ("cls", "facts", "words"),
    [
        (Required, {}, "argument 'waves' needs a default"),
        (FreeText, {}, "'mode' needs a default .* Literal"),
        (NoChannels, {}, "has to take the channels"),
        (Shrinks, {"options": [Option("k", 3, "kernel")]}, "declares 'k', but takes no 'k'"),
    ],
)
def test_signature_that_no_text_can_call_is_refused(cls, facts, words):
    with pytest.raises(AttentuneError, match=words):
        register(cls, "bad", **facts)


@pytest.mark.parametrize("name", ["se", "none", "two words", "3d", ""])
def test_name_that_is_taken_or_no_word_is_refused(name):
    with pytest.raises(ArchitectureError, match=repr(name)):
        register(name=name)


def test_registering_again_means_the_later_class():
    register()
    register(Shrinks)
    assert attention("wave").origin.endswith("Shrinks")


def test_unknown_name_lists_what_is_registered():
    register()
    with pytest.raises(ArchitectureError, match="did you mean 'wave'"):
        Insertion.of("wafe", "mid")


# --- exports and the guide ------------------------------------------------------------------------


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
