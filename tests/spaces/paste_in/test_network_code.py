"""The code of an architecture builds attentune's network: the same keys, the same function."""

from __future__ import annotations

import copy
import pickle
import sys
import types

import attentune
import pytest
import torch
from attentune.errors import ArchitectureError, UsageError
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.paste_in.code import paste_in_code
from torch import Tensor, nn

ARCHITECTURES = [
    "test_resnet+cbam(r=4)@all.residual",
    "test_resnet+se(r=4,start=identity)@s1.mid+eca@s1.mid+se(r=8)@s1.mid",
    "test_resnet+ca@all.identity+se(r=4)@s2.pre+simam@all.stage",
    "test_resnet+sk@s2-s3.mid+sk(r=8)@s3.mid",
    "test_efficientnet(attention=none)+ca@all.mid+srm@all.post",
    "test_efficientnet(attention=none@s4)+eca@s4.mid",
    "test_convnext+gc(r=4)@all.residual+lct@s1.identity",
    "test_mambaout+se(r=4)@s1.residual+eca@s2.post",
]


def module_of(code: str, name: str = "pasted_network") -> types.ModuleType:
    """Printed code as a module that is imported."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, f"{name}.py", "exec", dont_inherit=True), module.__dict__)
    return module


@pytest.fixture(autouse=True)
def timm():
    yield import_timm()
    for name in ("pasted_network",):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("text", ARCHITECTURES)
def test_the_network_has_the_keys_and_the_function_of_ours(text, timm):
    expected = attentune.create_model(text, seed=0).eval()
    state = {
        key: torch.rand_like(value) if value.is_floating_point() else value
        for key, value in expected.state_dict().items()
    }
    state = {key: value * 0.1 + 0.01 for key, value in state.items()}
    expected.load_state_dict(state)
    model = module_of(paste_in_code(text)).create_model(pretrained=False).eval()
    assert set(model.state_dict()) == set(state)
    model.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected(x), rtol=1e-4, atol=1e-5)


def test_weights_of_the_plain_network_keep_their_keys(timm):
    plain = timm.create_model("test_resnet")
    pasted = module_of(paste_in_code("test_resnet+cbam(r=4,start=identity)@all.residual"))
    model = pasted.create_model(pretrained=False)
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all(".attention.cbam." in key for key in missing)
    x = torch.randn(1, 3, 48, 48)
    assert torch.equal(model.eval()(x), plain.eval()(x))


def test_copies_and_pickles_have_the_same_keys_and_load(timm):
    pasted = module_of(paste_in_code("test_resnet+cbam(r=4)@all.residual+eca@s1.identity"))
    model = pasted.create_model(pretrained=False).eval()
    x = torch.randn(1, 3, 48, 48)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert list(again.state_dict()) == list(model.state_dict())
        again.load_state_dict(model.state_dict())
        assert torch.equal(again(x), model(x))


class OwnNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.model = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.model(self.stem(images)))


def test_attention_goes_into_a_network_of_ones_own_without_timm():
    text, example = "cbam(r=4)@{model.1}.post+eca@{head}.pre", torch.zeros(1, 3, 32, 32)
    code = paste_in_code(text, OwnNetwork(), example)
    assert "timm" not in code
    assert '("model.1", 16)' in code
    torch.manual_seed(0)
    network = OwnNetwork()
    expected = attentune.insert(copy.deepcopy(network), text, example).eval()
    model = module_of(code).insert_attention(network).eval()
    assert set(model.state_dict()) == set(expected.state_dict())
    model.load_state_dict(expected.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(x), expected(x))


def test_a_layer_with_an_attention_of_its_own_keeps_its_keys():
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Module()))
    network[0].add_module("attention", nn.Conv2d(8, 8, 1))
    network[0][1].forward = lambda x: x  # type: ignore[method-assign]
    keys = set(network.state_dict())
    code = paste_in_code("se(r=2)@{0}.post", network, torch.zeros(1, 3, 8, 8))
    model = module_of(code).insert_attention(network)
    assert keys < set(model.state_dict())
    model.load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("test_resnet(attention=none)", ArchitectureError, "inserts no attention"),
        ("test_resnet+se@s9.residual", ArchitectureError, "its stages are"),
        ("test_resnet+se@{layer1}.post", ArchitectureError, "names a module"),
        ("hiera_tiny_224+se@s1.post", ArchitectureError, "there is no code to paste"),
    ],
)
def test_what_cannot_be_printed_is_refused_in_a_sentence(text, error, words):
    with pytest.raises(error, match=words):
        paste_in_code(text)


def test_a_network_needs_a_place():
    with pytest.raises(UsageError, match="not where"):
        paste_in_code("se(r=4)", OwnNetwork(), torch.zeros(1, 3, 32, 32))
