"""Networks with attention are compiled by `torch.jit.script` where the bare backbone is."""

from __future__ import annotations

import copy
import io
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from attentune.errors import ArchitectureError, AttentionError
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.backbones.discover import sites
from attentune.spaces.networks.build import create_model
from attentune.spaces.networks.own_network import insert
from torch import nn
from torch.nn import functional

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


@pytest.mark.parametrize(
    "text",
    [
        "test_resnet+sk@all.mid+cbam(r=4)@s1-s2.identity+eca@all.mid+se(r=4)@all.post",
        "test_convnext+sk(start=identity)@s2.mid",
        "test_byobnet+eca@all.residual",  # Its layers have properties.
        # Their blocks receive a list of maps, and a map with options.
        pytest.param("densenet121+eca@s1.post+sk@s2.mid", marks=pytest.mark.slow),
        pytest.param("dla34+eca@s3.post+se(r=4)@s2.identity+sk@s2-s3.mid", marks=pytest.mark.slow),
    ],
)
def test_blocks_are_scripted_whatever_they_receive_and_keep_their_keys(text):
    model = make(text).eval()
    scripted_from = copy.deepcopy(model)
    scripted = torch.jit.script(scripted_from)
    x = torch.randn(2, 3, SIZE, SIZE)
    torch.testing.assert_close(scripted(x), model(x), rtol=1e-4, atol=1e-4)
    names = [name for name, _ in model.named_parameters()]
    assert [name for name, _ in scripted.named_parameters()] == names
    assert list(scripted_from.state_dict()) == list(model.state_dict())
    other = create_model(text, num_classes=4, image_size=SIZE, seed=1).eval()
    scripted_from.load_state_dict(other.state_dict())
    torch.testing.assert_close(scripted_from(x), other(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["eca", "sk"])
@pytest.mark.parametrize(
    "backbone",
    [
        *("resnet10t", "mobilenetv3_small_050", "convnext_atto", "regnetx_002", "cspresnet50"),
        *("res2net50_26w_4s", "dla34", "dpn48b", "test_nfnet", "edgenext_xx_small", "fastvit_t8"),
        *("coatnet_pico_rw_224", "ghostnet_050", "vovnet39a", "repvgg_a0", "poolformer_s12"),
    ],
)
def test_every_position_of_other_families_is_scripted(backbone, attention):
    positions = {site.position for site in sites(backbone, image_size=SIZE)}
    positions &= {"mid"} if attention == "sk" else positions
    for position in sorted(positions):
        try:
            model = make(f"{backbone}+{attention}@all.{position}").eval()
        except ArchitectureError:  # No convolution makes the map there.
            continue
        x = torch.randn(2, 3, SIZE, SIZE)
        scripted = torch.jit.script(copy.deepcopy(model))
        torch.testing.assert_close(scripted(x), model(x), rtol=1e-4, atol=1e-4)


def test_maps_of_shortcuts_are_not_mixed_up_between_threads():
    model = make("test_resnet+sk@all.mid+se(r=4)@all.identity").eval()
    scripted = torch.jit.script(copy.deepcopy(model))
    inputs = [torch.randn(1, 3, SIZE, SIZE) for _ in range(16)]
    with torch.no_grad(), ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(scripted, inputs))
        for x, output in zip(inputs, outputs, strict=True):
            torch.testing.assert_close(output, model(x))


def test_a_scripted_block_drops_out_in_training_only():
    model = make("test_efficientnet+sk@s2.mid").train()
    scripted = torch.jit.script(copy.deepcopy(model))
    x = torch.randn(2, 3, SIZE, SIZE)
    torch.testing.assert_close(scripted.eval()(x), model.eval()(x))


class DroppingBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + functional.dropout(self.act(self.conv1(x)), 0.5, self.training)


def test_a_block_that_is_another_in_training_is_refused_in_a_sentence():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), DroppingBlock(), nn.MaxPool2d(2))
    insert(network, "sk@{1.act}.post", torch.randn(2, 3, SIZE, SIZE))
    with pytest.raises(AttentionError, match=r"torch\.jit\.script cannot compile DroppingBlock"):
        torch.jit.script(network)


class BlockWithOption(DroppingBlock):
    def forward(self, x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        y = self.act(self.conv1(x))
        return x + y if scale is None else x + y * scale


def test_a_block_that_is_another_with_an_option_is_refused_in_a_sentence():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), BlockWithOption(), nn.MaxPool2d(2))
    insert(network, "sk@{1.act}.post", torch.randn(2, 3, SIZE, SIZE))
    with pytest.raises(AttentionError, match=r"torch\.jit\.script cannot compile BlockWithOption"):
        torch.jit.script(network)
