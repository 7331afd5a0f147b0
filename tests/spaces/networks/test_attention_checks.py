"""What attentions of users return is checked while a network runs, and faults are attributed."""

from __future__ import annotations

import attentune
import pytest
import torch
from attentune.errors import AttentionError
from attentune.spaces.attentions.plugins import register as registration
from attentune.spaces.networks.attention_checks import check_maps, find_attention_at_fault
from torch import nn

TEXT = "test_resnet+se@s1.residual+wave@s2.identity"
LABEL = "wave at s2b1.identity"


class Wave(nn.Module):
    """Does what the test sets, from the second call of its network on."""

    result = staticmethod(lambda x: x)

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.ready = False

    def forward(self, x):
        return Wave.result(x * self.scale) if self.ready else x * self.scale


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(registration, "_registered", {})
    monkeypatch.setattr(Wave, "result", staticmethod(lambda x: x))
    registration._resolve.cache_clear()
    attentune.register_attention("wave")(Wave)
    model = attentune.create_model(TEXT, num_classes=10, image_size=32)
    for module in model.modules():
        if isinstance(module, Wave):
            module.ready = True
    yield model
    registration._resolve.cache_clear()


IMAGES = torch.rand(4, 3, 32, 32)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda x: x.mean(0, keepdim=True), "changes the shape"),
        (lambda x: x.mean((2, 3), keepdim=True), "changes the shape"),
        (lambda x: (x, x), "no tensor"),
        (lambda x: x.to("meta"), "from cpu to meta"),
        (lambda x: x.double(), "torch.float64"),
    ],
)
def test_another_kind_of_map_is_refused_by_name_and_site(model, monkeypatch, result, words):
    monkeypatch.setattr(Wave, "result", staticmethod(result))
    with pytest.raises(AttentionError, match=f"^{LABEL} .*{words}"), check_maps(model):
        model(IMAGES)


def test_without_the_check_such_a_map_is_broadcast(model, monkeypatch):
    """This is why there is a check."""
    monkeypatch.setattr(Wave, "result", staticmethod(lambda x: x.mean(0, keepdim=True)))
    assert model(IMAGES).shape == (4, 10)


def test_a_map_has_to_remain_finite_if_that_is_asked_for(model, monkeypatch):
    monkeypatch.setattr(Wave, "result", staticmethod(lambda x: x / 0))
    with check_maps(model):
        model(IMAGES)
    with (
        pytest.raises(AttentionError, match=f"^{LABEL} returns NaN or infinity"),
        check_maps(model, finite=True),
    ):
        model(IMAGES)


def test_an_attention_is_not_blamed_for_a_map_that_was_not_finite(model):
    with check_maps(model, finite=True):
        model(IMAGES * torch.nan)


def test_once_means_the_first_batch_only(model, monkeypatch):
    with check_maps(model, once=True):
        model(IMAGES)
        monkeypatch.setattr(Wave, "result", staticmethod(lambda x: x.mean(0, keepdim=True)))
        model(IMAGES)


def test_nothing_remains_of_the_check(model):
    hooks = [len(module._forward_hooks) for module in model.modules()]
    with check_maps(model):
        model(IMAGES)
    assert [len(module._forward_hooks) for module in model.modules()] == hooks


def test_mixed_precision_is_no_change_of_the_type(model):
    with check_maps(model), torch.autocast("cpu", torch.bfloat16):
        model(IMAGES)


def test_an_exception_is_attributed_to_the_attention_that_raised_it(model, monkeypatch):
    def fail(x):
        return x.no_such_method()

    monkeypatch.setattr(Wave, "result", staticmethod(fail))
    with pytest.raises(AttributeError) as caught:
        model(IMAGES)
    assert find_attention_at_fault(caught.value) == LABEL


def test_an_exception_of_the_backbone_is_nobody_s_fault(model):
    with pytest.raises(RuntimeError) as caught:
        model(torch.rand(4, 5, 32, 32))
    assert find_attention_at_fault(caught.value) is None
