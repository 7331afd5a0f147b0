"""Networks with attention are compiled by `torch.jit.script` where the bare backbone is."""

from __future__ import annotations

import copy
import io
import itertools

import pytest
import torch
from attentune.errors import AttentionError
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.networks.build import create_model
from torch import nn

SIZE = 32
NAMES = [name for name, entry in ATTENTIONS.items() if not entry.needs_convolution]


def make(text: str) -> nn.Module:
    return create_model(text, num_classes=4, image_size=SIZE, seed=0)


def insertion(name: str, start: str, place: str) -> str:
    return f"+{name}(start={start}{',r=4' if ATTENTIONS[name].has_ratio else ''})@{place}"


def assert_scripted(text: str) -> None:
    model = make(f"test_resnet{text}").eval()
    scripted = torch.jit.script(copy.deepcopy(model))
    for shape in ((2, 3, SIZE, SIZE), (1, 3, 48, 40)):
        x = torch.randn(shape)
        torch.testing.assert_close(scripted(x), model(x))
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in scripted.named_parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["paper", "identity"])
@pytest.mark.parametrize("name", NAMES)
def test_every_attention_is_scripted_and_computes_the_same(name, start):
    assert_scripted(insertion(name, start, "s2.residual") + insertion(name, start, "s3.stage"))


@pytest.mark.parametrize("start", ["paper", "identity"])
def test_all_attentions_together_are_scripted(start):
    places = itertools.cycle(f"s{s}.{p}" for p in ("residual", "stage") for s in (1, 2, 3, 4))
    assert_scripted("".join(insertion(name, start, next(places)) for name in NAMES))


def test_a_scripted_network_trains_and_is_saved():
    model = make("test_resnet+cbam(r=4)@all.residual+bam(r=4)@s2.stage").train()
    scripted = torch.jit.script(copy.deepcopy(model))
    x = torch.randn(4, 3, SIZE, SIZE)
    for network in (model, scripted):
        network(x).square().sum().backward()
    for parameter, twin in zip(model.parameters(), scripted.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-3, atol=1e-4)
    file = io.BytesIO()
    torch.jit.save(scripted.eval(), file)
    file.seek(0)
    torch.testing.assert_close(torch.jit.load(file)(x), scripted(x))


def test_the_network_that_was_scripted_keeps_its_keys_and_its_output():
    model = make("test_convnext+se(r=4)@all.residual+eca@s2.stage").eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    keys, expected = list(model.state_dict()), model(x)
    scripted = torch.jit.script(model)
    torch.testing.assert_close(scripted(x), expected)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("text", ["se(r=4)@all.identity", "sk(r=4)@s1.mid"])
def test_what_needs_a_second_map_is_refused_in_a_sentence(text):
    with pytest.raises(AttentionError, match=r"torch\.jit\.script cannot compile attention on"):
        torch.jit.script(make(f"test_resnet+{text}"))
