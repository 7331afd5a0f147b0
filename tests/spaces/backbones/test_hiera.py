"""Hiera, whose maps lie as tokens in an order of its own: an attention sees a map all the same."""

from __future__ import annotations

import copy
import io
import pickle
from collections import OrderedDict

import pytest
import torch
from attentune.errors import ArchitectureError, BackboneError
from attentune.spaces.architecture import ALL, parse
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.backbones.discover import discover_sites, find_sites
from attentune.spaces.backbones.sites import SiteMap
from attentune.spaces.networks.build import build_network, create_model
from attentune.spaces.networks.insert import insert_attentions
from torch import Tensor, nn

SIZE = 96  # maps of 24, 12, 6 and 3 places a side, in 3×3 mask units
SMALL = {"embed_dim": 8, "stages": (1, 2, 1, 1)}
EVERYWHERE = "hiera_tiny_224+ca(r=2)@all.residual+ca(r=2)@all.pre+ca(r=2)@all.post"


def make(text: str = "hiera_tiny_224", seed: int = 3, **options) -> nn.Module:
    kwargs = {**SMALL, **options}
    return build_network(parse(text), num_classes=5, image_size=SIZE, seed=seed, **kwargs).eval()


def sites() -> SiteMap:
    return discover_sites("hiera_tiny_224", image_size=SIZE, **SMALL)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def image() -> Tensor:
    return random(2, 3, SIZE, SIZE)


@pytest.fixture(scope="module")
def hooked() -> nn.Module:
    return make(EVERYWHERE)


# --- where things are -----------------------------------------------------------------------------


class Written(nn.Module):
    """Adds to the map what is written here; the map is kept."""

    def __init__(self, pattern: Tensor) -> None:
        super().__init__()
        self.pattern = pattern

    def forward(self, x: Tensor) -> Tensor:
        self.received = x
        return x + self.pattern


@pytest.mark.parametrize("block", range(5))
def test_what_an_attention_writes_lies_there_for_the_models_own_reroll(block):
    plain, model = make(), make()
    before = plain.blocks[block]
    tokens = random(2, (24 * 24, 24 * 24, 12 * 12, 12 * 12, 6 * 6)[block], before.dim)
    (site,) = (s for s in sites().sites if s.module == f"blocks.{block}" and s.position == "post")
    pattern = torch.arange(site.height * site.width, dtype=torch.float32)
    writer = Written(pattern.reshape(1, 1, site.height, site.width))
    insert_attentions(model, site.anchor, OrderedDict(writer=writer))
    with torch.no_grad():
        expected = plain.reroll(before(tokens), block)
        output = model.reroll(model.blocks[block](tokens), block)
    assert torch.equal(writer.received.permute(0, 2, 3, 1), expected)
    assert torch.equal(output, expected + writer.pattern.permute(0, 2, 3, 1))


@pytest.mark.parametrize("position", ["residual", "pre", "post"])
@pytest.mark.parametrize(("block", "place"), [(0, "s1b1"), (1, "s2b1"), (2, "s2b2"), (4, "s4b1")])
def test_attention_is_shown_the_map_at_its_position(block, place, position):
    plain, model = make(), make(f"hiera_tiny_224+ca(r=2)@{place}.{position}")
    (inserted,) = (m for m in model.modules() if isinstance(m, get_attention("ca").load()))
    slots = dict.fromkeys(("residual", "pre", "post"), lambda x: x)
    slots[position] = lambda x: inserted(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    b = plain.blocks[block]
    tokens = random(2, (24 * 24, 24 * 24, 12 * 12, 12 * 12, 6 * 6)[block], b.dim)
    with torch.no_grad():
        output = model.reroll(model.blocks[block](tokens), block)
        # The first half of the block mixes tokens; all behind it works on each place alone.
        y, shortcut = b.norm1(tokens), tokens
        if b.do_expand:
            shortcut = b.proj(y).reshape(2, b.attn.q_stride, -1, b.dim_out).amax(1)
        x = plain.reroll(shortcut + b.attn(y), block)
        branch = slots["residual"](b.mlp(b.norm2(slots["pre"](x))))
        expected = slots["post"](x + branch)
        assert not torch.allclose(output, plain.reroll(b(tokens), block))
    torch.testing.assert_close(output, expected)


def test_an_attention_that_changes_nothing_changes_no_bit_and_no_gradient(image):
    plain, model = make(), make()
    for anchor in {site.anchor for site in sites().sites}:
        insert_attentions(model, anchor, OrderedDict(nothing=nn.Identity()))
    assert list(model.state_dict()) == list(plain.state_dict())
    assert torch.equal(model(image), plain(image))
    for network in (model, plain):
        network(image).square().sum().backward()
    for parameter, plain_parameter in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(parameter.grad, plain_parameter.grad)


# --- what it goes through -------------------------------------------------------------------------


def _saved_and_loaded(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = make(EVERYWHERE, seed=99)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


def _compiled(model: nn.Module) -> nn.Module:
    torch._dynamo.reset()
    return torch.compile(model, backend="aot_eager", fullgraph=True)


TRANSFORMS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "state dict": _saved_and_loaded,
    "export": lambda model: torch.export.export(model, (torch.ones(2, 3, SIZE, SIZE),)).module(),
    "compile": _compiled,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_network_survives(transform, hooked, image):
    with torch.no_grad():
        output = transform(copy.deepcopy(hooked))(image)
        torch.testing.assert_close(output, hooked(image))


def test_the_order_goes_where_the_weights_go_and_is_saved_nowhere(hooked, image):
    assert not [key for key in hooked.state_dict() if "_order" in key or "_inverse_order" in key]
    moved = copy.deepcopy(hooked).to("meta")
    assert {buffer.device.type for buffer in moved.buffers()} == {"meta"}
    assert moved(image.to("meta")).shape == (2, 5)
    double = copy.deepcopy(hooked).double()
    with torch.no_grad():
        torch.testing.assert_close(double(image.double()).float(), hooked(image))


def test_gradient_checkpointing_gives_the_same_gradients(hooked, image):
    def gradients(model: nn.Module) -> list[Tensor]:
        model.train()(image).square().sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    model = copy.deepcopy(hooked)
    model.set_grad_checkpointing()
    for output, expected in zip(gradients(model), gradients(copy.deepcopy(hooked)), strict=True):
        torch.testing.assert_close(output, expected)


# --- what is refused, and feature extractors ------------------------------------------------------


def test_sizes_follow_the_image():
    for size, sides in [(224, [56, 28, 14, 7]), (96, [24, 12, 6, 3]), (32, [8, 4, 2, 1])]:
        site_map = find_sites("hiera_tiny_224", image_size=size)
        assert [(s.height, s.width) for s in site_map.sites_at(ALL, "stage")] == [
            (s,) * 2 for s in sides
        ]
        assert [s.channels for s in site_map.sites_at(ALL, "stage")] == [96, 192, 384, 768]


def test_images_that_hiera_cannot_be_built_for_are_refused():
    with pytest.raises(BackboneError, match="cannot be run on images of 100×100"):
        find_sites("hiera_tiny_224", image_size=100)


def test_tokens_without_a_place_are_no_map(hooked, image):
    with pytest.raises(BackboneError, match="no site for an attention: it works on tokens"):
        make("hiera_tiny_224+se(r=2)@all.post", patch_drop_rate=0.5)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[:, 3:6] = False
    with pytest.raises(ArchitectureError, match="all 576 tokens of the map, but got 384"):
        hooked(image, mask=mask)


@pytest.mark.parametrize(
    ("text", "wanted", "attentions"),
    [
        (EVERYWHERE, (0, 1, 2, 3), 15),
        ("hiera_tiny_224+ca(r=2)@all.residual+ca(r=2)@all.post", (0, 1), 6),
    ],
)
def test_a_feature_extractor_carries_the_attention(text, wanted, attentions, image):
    options = {"features_only": True, "out_indices": wanted, **SMALL}
    whole = make(text)
    features = create_model(text, image_size=SIZE, **options).eval()
    state = {f"model.{key}": value for key, value in whole.state_dict().items()}
    assert features.load_state_dict(state, strict=False).missing_keys == []
    kind = get_attention("ca").load()
    assert sum(isinstance(module, kind) for module in features.modules()) == attentions
    tokens: dict[int, Tensor] = {}
    for block in (0, 2, 3, 4):
        whole.blocks[block].register_forward_hook(
            lambda _m, _a, y, block=block: tokens.update({block: y})
        )
    with torch.no_grad():
        whole(image)
        maps = features(image)
    assert len(maps) == len(wanted)
    for (block, y), feature in zip(tokens.items(), maps, strict=False):
        assert torch.equal(feature, whole.reroll(y, block).permute(0, 3, 1, 2))


def test_attention_that_would_miss_the_features_is_refused():
    with pytest.raises(ArchitectureError, match="cannot be inserted into a feature extractor"):
        create_model("hiera_tiny_224+eca@s4.pre", features_only=True, out_indices=(0, 1))
