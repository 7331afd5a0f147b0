"""Every attention against its paper: parameters, forward pass, both starts, awkward inputs."""

from __future__ import annotations

import copy
import itertools
import re

import pytest
import torch
from attentune.errors import ArchitectureError
from attentune.spaces.attentions.catalogue import ATTENTIONS, attention, eca_kernel
from torch import Tensor, nn
from torch.nn import functional as F

CASES = [
    ("se", {"r": 16}),
    ("se", {"r": 4, "bias": True}),
    ("eca", {"k": "auto"}),
    ("eca", {"k": 1}),
    ("eca", {"k": 9}),
    ("cbam", {"r": 16, "k": 7}),
    ("cbam", {"r": 4, "k": 3, "bias": True}),
    ("ca", {"r": 32}),
    ("ca", {"r": 2}),
    ("nl", {"r": 2}),
    ("nl", {"r": 8}),
]
STARTS = ("paper", "identity")
every_case = pytest.mark.parametrize(("name", "options"), CASES)
every_start = pytest.mark.parametrize("start", STARTS)


def make(name: str, channels: int, options: dict, start: str = "paper") -> nn.Module:
    named = {"reduction_ratio" if k == "r" else k: v for k, v in options.items()}
    torch.manual_seed(0)
    return attention(name).load()(channels, start=start, **named)


def randomise(module: nn.Module, seed: int = 1) -> nn.Module:
    """Every parameter and running statistic at random, so that no term hides behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(noise.abs() + 0.5 if key.endswith("running_var") else noise * 0.4)
    return module


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --- parameters -----------------------------------------------------------------------------------


@every_case
@every_start
@pytest.mark.parametrize("channels", [8, 24, 64, 100, 256])
def test_parameters_equal_the_catalogues_formula(name, options, start, channels):
    entry = attention(name)
    expected = entry.parameters(channels, {**entry.defaults, **options}, (7, 7))
    assert count(make(name, channels, options, start)) == expected


@pytest.mark.parametrize(
    ("name", "channels", "options", "golden"),
    [
        ("se", 256, {"r": 16}, 2 * 256 * 16),
        ("se", 256, {"r": 16, "bias": True}, 2 * 256 * 16 + 16 + 256),
        ("se", 8, {"r": 16}, 2 * 8 * 1),
        ("se", 100, {"r": 16}, 2 * 100 * 6),
        ("eca", 64, {"k": "auto"}, 3),
        ("eca", 2048, {"k": "auto"}, 7),
        ("eca", 64, {"k": 9}, 9),
        ("cbam", 64, {"r": 16}, 2 * 64 * 4 + 2 * 49 + 2),
        ("cbam", 64, {"r": 16, "k": 3, "bias": True}, 2 * 64 * 4 + 4 + 64 + 2 * 9 + 2),
        ("ca", 64, {"r": 32}, 64 * 8 + 8 + 16 + 2 * (8 * 64 + 64)),
        ("ca", 512, {"r": 32}, 512 * 16 + 16 + 32 + 2 * (16 * 512 + 512)),
        ("nl", 64, {"r": 2}, 3 * (64 * 32 + 32) + 32 * 64 + 64 + 2 * 64),
    ],
)
def test_parameters_equal_the_papers_numbers(name, channels, options, golden):
    assert count(make(name, channels, options)) == golden


def test_se_everywhere_in_resnet50_gives_the_papers_28_1_million():
    widths = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    added = sum(count(make("se", width, {"r": 16, "bias": True})) for width in widths)
    assert 25_557_032 + added == 28_088_024


@pytest.mark.parametrize(
    ("channels", "kernel"),
    [(4, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_eca_chooses_the_papers_kernel(channels, kernel):
    assert eca_kernel(channels) == kernel


# --- forward pass: the papers' equations, written again with nothing but arithmetic ---------------


def mlp(s: Tensor, w: dict[str, Tensor], prefix: str = "") -> Tensor:
    hidden = (s @ w[f"{prefix}fc1.weight"].T + w.get(f"{prefix}fc1.bias", 0)).clamp(min=0)
    return hidden @ w[f"{prefix}fc2.weight"].T + w.get(f"{prefix}fc2.bias", 0)


def norm(z: Tensor, w: dict[str, Tensor], prefix: str) -> Tensor:
    mean, var, scale, shift = (
        w[f"{prefix}.{key}"].view(1, -1, *[1] * (z.ndim - 2))
        for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (z - mean) / (var + 1e-5).sqrt() * scale + shift


def gated(z: Tensor, start: str) -> Tensor:
    return (2 if start == "identity" else 1) / (1 + (-z).exp())


def se_by_the_paper(x, w, options, start):
    return x * gated(mlp(x.mean((2, 3)), w), start)[..., None, None]


def eca_by_the_paper(x, w, options, start):
    kernel = w["conv.weight"].flatten()
    reach = len(kernel) // 2
    padded = F.pad(x.mean((2, 3)), (reach, reach))
    z = sum(kernel[i] * padded[:, i : i + x.shape[1]] for i in range(len(kernel)))
    return x * gated(z, start)[..., None, None]


def cbam_by_the_paper(x, w, options, start):
    z = mlp(x.mean((2, 3)), w, "channel.") + mlp(x.amax((2, 3)), w, "channel.")
    x = x * gated(z, start)[..., None, None]
    maps = torch.stack([x.mean(1), x.amax(1)], dim=1)
    k = w["spatial.conv.weight"].shape[-1]
    patches = F.unfold(maps, k, padding=k // 2)
    z = (w["spatial.conv.weight"].flatten() @ patches).view(len(x), 1, *x.shape[2:])
    return x * gated(norm(z, w, "spatial.bn"), start)


def ca_by_the_paper(x, w, options, start):
    def pointwise(s: Tensor, layer: str) -> Tensor:
        weight, bias = w[f"{layer}.weight"].flatten(1), w[f"{layer}.bias"]
        return torch.einsum("oc,ncl->nol", weight, s) + bias[:, None]

    def f(s: Tensor) -> Tensor:
        z = norm(pointwise(s, "conv1"), w, "bn")
        return z * (z + 3).clamp(0, 6) / 6

    rows = gated(pointwise(f(x.mean(3)), "conv_h"), start)
    columns = gated(pointwise(f(x.mean(2)), "conv_w"), start)
    return x * rows[:, :, :, None] * columns[:, :, None, :]


def nl_by_the_paper(x, w, options, start):
    d = max(1, x.shape[1] // options["r"])
    flat = x.flatten(2)
    weight, bias = w["project.weight"].flatten(1), w["project.bias"]
    theta, phi, g = (weight @ flat + bias[:, None]).split(d, dim=1)
    similarity = torch.einsum("ndi,ndj->nij", theta, phi).exp()
    y = torch.einsum("nij,ndj->ndi", similarity / similarity.sum(2, keepdim=True), g)
    z = w["out.weight"].flatten(1) @ y + w["out.bias"][:, None]
    return x + norm(z, w, "bn").view(x.shape)


PAPERS = {
    "se": se_by_the_paper,
    "eca": eca_by_the_paper,
    "cbam": cbam_by_the_paper,
    "ca": ca_by_the_paper,
    "nl": nl_by_the_paper,
}


def test_every_attention_of_the_catalogue_is_compared_with_its_paper():
    assert set(PAPERS) == set(ATTENTIONS) == {name for name, _ in CASES}


@every_case
@every_start
@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_forward_is_the_papers_formula(name, options, start, size):
    module = randomise(make(name, 24, options, start)).double().eval()
    x = torch.randn(3, 24, *size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = PAPERS[name](x, module.state_dict(), options, start)
    torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(module(x), x)


@pytest.mark.parametrize(("name", "size"), [("cbam", (3, 4)), ("ca", (3, 4)), ("nl", (3, 4))])
def test_training_uses_the_statistics_of_the_batch(name, size):
    module = randomise(make(name, 16, {"r": 4}))
    x = torch.randn(4, 16, *size)
    before = {k: v.clone() for k, v in module.state_dict().items() if "running" in k}
    trained = module.train()(x)
    after = {k: v for k, v in module.state_dict().items() if "running" in k}
    assert all(not torch.equal(before[key], after[key]) for key in before)
    assert not torch.allclose(trained, module.eval()(x))


# --- the identity start ---------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_identity_start_changes_no_bit(name, options, train, dtype):
    module = make(name, 32, options, "identity").train(train).to(dtype)
    x = (3 * torch.randn(4, 32, 6, 5)).to(dtype)
    assert torch.equal(module(x), x)


@every_case
def test_identity_start_is_left_by_training(name, options):
    module = make(name, 64, options, "identity").train()
    x = torch.randn(8, 64, 6, 6)
    target = torch.randn(8, 64, 6, 6)
    at_zero = {k for k, p in module.named_parameters() if not p.any() and k.endswith("weight")}
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
    weights = {k: p for k, p in module.named_parameters() if k.endswith("weight")}
    assert all(weight.grad.abs().max() > 0 for weight in weights.values()), "all layers now learn"


@pytest.mark.parametrize("name", [n for n, entry in ATTENTIONS.items() if entry.opens_as_identity])
def test_attention_that_opens_as_identity_is_one_module_for_both_starts(name):
    paper, identity = (make(name, 16, {}, start) for start in STARTS)
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(paper(x), x)
    assert all(
        torch.equal(a, b) for a, b in zip(paper.parameters(), identity.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "name", [n for n, entry in ATTENTIONS.items() if not entry.opens_as_identity]
)
def test_published_start_opens_half_way(name):
    x = torch.randn(8, 64, 8, 8)
    ratio = make(name, 64, {}, "paper").eval()(x).norm() / x.norm()
    assert 0.15 < ratio < 0.65


def test_both_starts_share_the_weights_that_are_not_zero():
    for name, options in CASES:
        paper, identity = (make(name, 64, options, start) for start in STARTS)
        pairs = zip(paper.state_dict().values(), identity.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) or not b.any() for a, b in pairs), name


# --- awkward inputs -------------------------------------------------------------------------------

SHAPES = [(1, 1, 1), (1, 7, 7), (2, 1, 1), (3, 1, 9), (2, 5, 3)]


@every_case
@every_start
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("train", [True, False])
def test_awkward_maps_give_finite_results_and_gradients(name, options, start, shape, train):
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
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_few_channels_are_enough(name, options, channels):
    x = torch.randn(2, channels, 4, 4)
    assert make(name, channels, options)(x).shape == x.shape


@pytest.mark.parametrize("name", ["cbam", "nl"])
def test_a_single_value_is_normalised_with_running_statistics(name):
    module = randomise(make(name, 8, {"r": 2})).train()
    before = copy.deepcopy(module.state_dict())
    x = torch.randn(1, 8, 1, 1)
    trained = module(x)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    torch.testing.assert_close(trained, module.eval()(x))


@every_case
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_format_is_kept_forwards_and_backwards(name, options, layout):
    module = randomise(make(name, 16, options)).to(memory_format=layout)
    x = torch.randn(2, 16, 6, 5).to(memory_format=layout).requires_grad_()
    y = module(x)
    y.square().sum().backward()
    assert y.is_contiguous(memory_format=layout)
    assert x.grad.is_contiguous(memory_format=layout)


@every_case
@every_start
def test_bf16_autocast_stays_close_to_float32(name, options, start):
    module = randomise(make(name, 16, options, start)).eval()
    x = torch.randn(2, 16, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x.bfloat16())
    torch.testing.assert_close(y.float(), module(x), rtol=0.1, atol=0.15)


@every_case
def test_module_survives_copy_export_and_meta_device(name, options):
    module = randomise(make(name, 16, options)).eval()
    x = torch.randn(2, 16, 6, 6)
    exported = torch.export.export(copy.deepcopy(module), (x,)).module()
    torch.testing.assert_close(exported(x), module(x))
    assert module.to("meta")(x.to("meta")).shape == x.shape


# --- the catalogue --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ATTENTIONS)
def test_entry_names_its_paper_kind_and_module(name):
    entry = attention(name)
    arxiv = re.search(r"arXiv (\d{4}\.\d{5})", entry.paper)
    assert arxiv
    module = entry.load()
    source = __import__(module.__module__, fromlist=["x"]).__doc__
    assert arxiv[1] in source, "the module's head names the same paper"
    assert entry.kind in ("channel", "spatial", "mixed", "global")
    assert entry.option("start").default == "paper"
    assert entry.formula
    assert entry.title


def test_papers_are_all_different():
    papers = [entry.paper for entry in ATTENTIONS.values()]
    assert all(a != b for a, b in itertools.combinations(papers, 2))


def test_width_is_the_hidden_width_of_the_module():
    for name, r, layer in (("se", 16, "fc1"), ("ca", 32, "conv1"), ("nl", 2, "out")):
        for channels in (8, 64, 512):
            module = make(name, channels, {"r": r})
            weight = getattr(module, layer).weight
            width = weight.shape[1 if name == "nl" else 0]
            assert attention(name).width(channels, r) == width


@pytest.mark.parametrize(
    ("name", "option", "text", "value"),
    [
        ("se", "r", "16", 16),
        ("se", "bias", "true", True),
        ("se", "start", "identity", "identity"),
        ("eca", "k", "auto", "auto"),
        ("eca", "k", "5", 5),
    ],
)
def test_option_reads_a_legal_value(name, option, text, value):
    assert attention(name).option(option).parse(text) == value


@pytest.mark.parametrize(
    ("name", "option", "text", "legal"),
    [
        ("se", "r", "0", "r must be whole number ≥ 1"),
        ("se", "r", "auto", "r must be whole number ≥ 1"),
        ("se", "bias", "1", "bias must be true or false"),
        ("se", "start", "warm", "start must be paper or identity"),
        ("eca", "k", "4", "k must be auto or odd whole number ≥ 1"),
        ("cbam", "k", "1", "k must be odd whole number ≥ 3"),
    ],
)
def test_option_refuses_an_illegal_value_and_names_the_legal_ones(name, option, text, legal):
    with pytest.raises(ValueError, match=re.escape(legal)):
        attention(name).option(option).parse(text)


def test_unknown_attention_names_the_closest():
    with pytest.raises(ArchitectureError, match="unknown attention 'sse'; did you mean 'se'"):
        attention("sse")
