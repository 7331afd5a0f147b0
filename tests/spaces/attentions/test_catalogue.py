"""Every attention's behaviour: both starts, awkward inputs, and the catalogue itself."""

from __future__ import annotations

import copy
import itertools
import re

import pytest
import torch
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.networks.build import create_model
from attentune.spaces.networks.canonical import resolve_architecture
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space
from torch import Tensor
from torch.nn import functional as F

CASES = [(name, {}) for name in ATTENTIONS] + [
    ("se", {"r": 4, "bias": True}),
    ("eca", {"k": 9}),
    ("ca", {"r": 2}),
    ("nl", {"r": 8}),
    ("sge", {"groups": 1}),
    ("ge", {"extent": "2"}),
    ("ge", {"extent": "8", "gather": "conv"}),
    ("ge", {"gather": "conv", "mlp": True}),
]
STARTS = ("paper", "identity")
every_case = pytest.mark.parametrize(("name", "options"), CASES)
every_start = pytest.mark.parametrize("start", STARTS)


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cbam", "ca", "nl", "spatial", "bam", "srm", "triplet", "strip"])
def test_training_uses_the_statistics_of_the_batch(name, make, randomise):
    module = randomise(make(name, 16, {}))
    x = torch.randn(4, 16, 3, 4)
    before = {k: v.clone() for k, v in module.state_dict().items() if "running" in k}
    trained = module.train()(x)
    after = {k: v for k, v in module.state_dict().items() if "running" in k}
    assert all(not torch.equal(before[key], after[key]) for key in before)
    assert not torch.allclose(trained, module.eval()(x))


# --- the identity start ---------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_identity_start_changes_no_bit(name, options, train, dtype, make):
    module = make(name, 32, options, "identity").train(train).to(dtype)
    x = (3 * torch.randn(4, 32, 6, 5)).to(dtype)
    assert torch.equal(module(x), x)


LAYERS = ("weight", "gamma", "alpha")


@every_case
def test_identity_start_is_left_by_training(name, options, make):
    module = make(name, 64, options, "identity").train()
    x = torch.randn(8, 64, 6, 6)
    target = torch.randn(8, 64, 6, 6)
    at_zero = {k for k, p in module.named_parameters() if not p.any() and k.endswith(LAYERS)}
    assert at_zero
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    F.mse_loss(module(x), target).backward()
    gradients = {k: p.grad for k, p in module.named_parameters()}
    assert all(gradients[key].abs().max() > 0 for key in at_zero)
    assert all(g.abs().max() < 10 for g in gradients.values()), "no gradient explodes"
    optimizer.step()
    assert not torch.equal(module(x), x)
    optimizer.zero_grad()
    F.mse_loss(module(x), target).backward()
    weights = {k: p for k, p in module.named_parameters() if k.endswith(LAYERS)}
    assert all(weight.grad.abs().max() > 0 for weight in weights.values()), "all layers now learn"


@pytest.mark.parametrize("name", [n for n, entry in ATTENTIONS.items() if entry.starts_as_identity])
def test_attention_that_starts_as_identity_is_one_module_for_both_starts(name, make):
    paper, identity = (make(name, 16, {}, start) for start in STARTS)
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(paper(x), x)
    assert all(
        torch.equal(a, b) for a, b in zip(paper.parameters(), identity.parameters(), strict=True)
    )


# |y| / |x| where it is not near one gate of σ(0) = 1/2, or two of them.
NORM_RATIOS = {
    "bam": 1.5,
    "sge": 0.73,
    "shuffle": 0.73,
    "simam": 0.68,
    "scse": 1.0,
    "a2": 1.0,
}


@pytest.mark.parametrize(
    "name", [n for n, entry in ATTENTIONS.items() if not entry.starts_as_identity]
)
def test_published_start_scales_a_map_by_about_one_half(name, make):
    x = torch.randn(8, 64, 8, 8)
    y = make(name, 64, {}, "paper").eval()(x).detach()
    ratio = float(y.norm() / x.norm())
    if name in NORM_RATIOS:
        assert ratio == pytest.approx(NORM_RATIOS[name], abs=0.1)
    else:
        assert 0.15 < ratio < 0.65


def test_both_starts_share_the_weights_that_are_not_zero(make):
    for name, options in CASES:
        paper, identity = (make(name, 64, options, start) for start in STARTS)
        published = paper.state_dict()
        for key, value in identity.state_dict().items():
            assert not value.any() or torch.equal(published[key], value), (name, key)


@pytest.fixture(scope="module")
def bare() -> Tensor:
    """What the bare backbone gives for `IMAGES`."""
    return create_model("test_resnet", num_classes=4, seed=1).eval()(IMAGES)


IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_network_with_identity_starts_gives_what_the_bare_backbone_gives(bare, name):
    position = (get_attention(name).positions or ("residual",))[0]
    text = f"test_resnet+{name}(start=identity)@all.{position}"
    model = create_model(text, num_classes=4, image_size=64, seed=1).eval()
    assert torch.equal(model(IMAGES), bare)


# --- awkward inputs -------------------------------------------------------------------------------

SHAPES = [(1, 1, 1), (1, 7, 7), (2, 1, 1), (3, 1, 9), (2, 5, 3)]


@every_case
@every_start
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("train", [True, False])
def test_awkward_maps_give_finite_results_and_gradients(name, options, start, shape, train, make):
    module = make(name, 16, options, start).train(train)
    n, height, width = shape
    x = torch.randn(n, 16, height, width, requires_grad=True)
    y = module(x)
    y.square().sum().backward()
    assert y.shape == x.shape
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters())


@every_case
@pytest.mark.parametrize("train", [True, False])
def test_an_empty_batch_gives_an_empty_batch(name, options, train, make):
    module = make(name, 16, options).train(train)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.zeros(0, 16, 8, 6, requires_grad=True)
        y = module(x.contiguous(memory_format=layout))
        assert y.shape == x.shape
        y.sum().backward()
        assert x.grad is not None


@every_case
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_few_channels_are_enough(name, options, channels, make):
    x = torch.randn(2, channels, 4, 4)
    assert make(name, channels, options)(x).shape == x.shape


@every_case
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_format_is_kept_forwards_and_backwards(name, options, layout, make, randomise):
    module = randomise(make(name, 16, options)).to(memory_format=layout)
    x = torch.randn(2, 16, 6, 5).to(memory_format=layout).requires_grad_()
    y = module(x)
    y.square().sum().backward()
    assert y.is_contiguous(memory_format=layout)
    assert x.grad.is_contiguous(memory_format=layout)


@every_case
@every_start
def test_bf16_autocast_stays_close_to_float32(name, options, start, make, randomise):
    module = randomise(make(name, 16, options, start)).eval()
    x = torch.randn(2, 16, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x.bfloat16())
    torch.testing.assert_close(y.float(), module(x), rtol=0.1, atol=0.15)


@every_case
def test_module_survives_copy_export_and_meta_device(name, options, make, randomise):
    module = randomise(make(name, 16, options)).eval()
    x = torch.randn(2, 16, 6, 6)
    exported = torch.export.export(copy.deepcopy(module), (x,)).module()
    torch.testing.assert_close(exported(x), module(x))
    assert module.to("meta")(x.to("meta")).shape == x.shape


# --- the catalogue --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ATTENTIONS)
def test_entry_names_its_paper_kind_and_module(name):
    entry = get_attention(name)
    number = re.search(r"arXiv (\d{4}\.\d{5})|(PMLR \d+)", entry.paper)
    assert number
    module = entry.load()
    source = __import__(module.__module__, fromlist=["x"]).__doc__
    assert (number[1] or number[2]) in source, "the module's head names the same paper"
    assert entry.kind in ("channel", "spatial", "mixed", "global")
    assert entry.option("start").default == "paper"
    assert entry.formula
    assert entry.title


def test_papers_are_all_different_but_for_the_halves_of_cbam():
    halves = ("channel", "spatial")
    papers = [entry.paper for name, entry in ATTENTIONS.items() if name not in halves]
    assert all(a != b for a, b in itertools.combinations(papers, 2))
    assert {get_attention(half).paper for half in halves} == {get_attention("cbam").paper}


def test_width_is_the_hidden_width_of_the_module(make):
    layers = {"ca": "conv1", "nl": "out", "a2": "out", "bam": "channel.0", "cbam": "channel.fc1"}
    layers["sk"] = "squeeze"
    for name in [name for name, entry in ATTENTIONS.items() if entry.has_ratio]:
        for channels in (8, 64, 512):
            layer = layers.get(name, "fc1")
            weight = make(name, channels, {"r": 4}).get_submodule(layer).weight
            assert (
                get_attention(name).width(channels, 4) == weight.shape[1 if layer == "out" else 0]
            )


@pytest.mark.parametrize("groups", ["auto", 64, 50, 48])
def test_numbers_of_groups_that_come_to_the_same_are_one_architecture(groups):
    plain = resolve_architecture("test_resnet+sge@all.residual")[0]
    assert resolve_architecture(f"test_resnet+sge(groups={groups})@all.residual")[0] == plain
    assert resolve_architecture("test_resnet+sge(groups=24)@all.residual")[0] != plain


def test_space_offers_an_attention_only_where_it_has_a_meaning():
    space = Space.of(attentions=("se", "sk"), ratios=(4,), positions=("residual", "mid"))
    bound = bind_space(space, resolve_architecture("test_resnet")[1])
    texts = {str(bound.architecture_at(index)) for index in range(bound.count())}
    assert len(texts) == bound.count() == (2 + 1) ** 4
    assert any("sk(" in text for text in texts)
    only_residual = bind_space(
        Space.of(attentions=("se", "sk"), ratios=(4,)), resolve_architecture("test_resnet")[1]
    )
    assert only_residual.count() == 1
