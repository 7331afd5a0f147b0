"""Every attention against its paper: golden parameter counts, and the equations written again."""

from __future__ import annotations

from math import cos, pi, sqrt

import pytest
import torch
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.formulas import channel_groups
from torch import Tensor
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
    ("gc", {"r": 4}),
    ("a2", {"r": 4}),
    ("ese", {}),
    ("channel", {"r": 8, "bias": True}),
    ("srm", {}),
    ("fca", {"r": 4, "frequencies": "16"}),
    ("fca", {"r": 4, "frequencies": "1"}),
    ("gct", {}),
    ("lct", {"groups": "auto"}),
    ("lct", {"groups": 3}),
    ("spatial", {"k": 5}),
    ("sge", {"groups": "auto"}),
    ("sge", {"groups": 2}),
    ("bam", {"r": 4, "dilation": 2}),
    ("scse", {"r": 2}),
    ("triplet", {"k": 5}),
    ("shuffle", {"groups": "auto"}),
    ("shuffle", {"groups": 2}),
    ("ela", {"k": 5}),
    ("ema", {"groups": "auto"}),
    ("ema", {"groups": 2}),
    ("strip", {}),
    ("ge", {}),
    ("ge", {"extent": "2"}),
    ("ge", {"extent": "4", "gather": "conv"}),
    ("ge", {"gather": "conv", "mlp": True}),
    ("ge", {"extent": "8", "gather": "conv", "mlp": True}),
    ("simam", {}),
    ("sk", {"r": 16}),
]
STARTS = ("paper", "identity")
every_case = pytest.mark.parametrize(("name", "options"), CASES)
every_start = pytest.mark.parametrize("start", STARTS)


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


def blended(z: Tensor, w: dict[str, Tensor], start: str) -> Tensor:
    a = w["gate.weight"] if start == "identity" else 1
    return 1 - a + a / (1 + (-z).exp())


def pointwise(s: Tensor, w: dict[str, Tensor], layer: str) -> Tensor:
    """A 1×1 convolution of (N, C, …)."""
    out = torch.einsum("oc,nc...->no...", w[f"{layer}.weight"].flatten(1), s)
    bias = w.get(f"{layer}.bias")
    return out if bias is None else out + bias.view(-1, *[1] * (s.ndim - 2))


def standardised(z: Tensor, dims: tuple[int, ...] | int) -> Tensor:
    centred = z - z.mean(dims, keepdim=True)
    return centred / (centred.square().mean(dims, keepdim=True) + 1e-5).sqrt()


def group_normed(z: Tensor, groups: int, weight: Tensor, bias: Tensor) -> Tensor:
    shape = (1, -1, *[1] * (z.ndim - 2))
    grouped = standardised(z.reshape(len(z), groups, -1), 2).reshape(z.shape)
    return grouped * weight.view(shape) + bias.view(shape)


def groups_of(x: Tensor, options: dict, usual: int) -> int:
    asked = options["groups"]
    return channel_groups(x.shape[1], usual if asked == "auto" else asked)


def se(x, w, options, start):
    return x * gated(mlp(x.mean((2, 3)), w), start)[..., None, None]


def eca(x, w, options, start):
    kernel = w["conv.weight"].flatten()
    reach = len(kernel) // 2
    padded = F.pad(x.mean((2, 3)), (reach, reach))
    z = sum(kernel[i] * padded[:, i : i + x.shape[1]] for i in range(len(kernel)))
    return x * gated(z, start)[..., None, None]


def channel(x, w, options, start, prefix=""):
    z = mlp(x.mean((2, 3)), w, prefix) + mlp(x.amax((2, 3)), w, prefix)
    return x * gated(z, start)[..., None, None]


def plane(first, second, w, start, prefix):
    """The gate (N, 1, A, B) that a convolution of two planes (N, A, B) gives."""
    maps = torch.stack([first, second], dim=1)
    kernel = w[f"{prefix}conv.weight"]
    patches = F.unfold(maps, kernel.shape[-1], padding=kernel.shape[-1] // 2)
    z = (kernel.flatten() @ patches).view(len(maps), 1, *maps.shape[2:])
    return gated(norm(z, w, f"{prefix}bn"), start)


def spatial(x, w, options, start, prefix=""):
    return x * plane(x.mean(1), x.amax(1), w, start, prefix)


def cbam(x, w, options, start):
    return spatial(channel(x, w, options, start, "channel."), w, options, start, "spatial.")


def ca(x, w, options, start):
    def f(s: Tensor) -> Tensor:
        z = norm(pointwise(s, w, "conv1"), w, "bn")
        return z * (z + 3).clamp(0, 6) / 6

    rows = blended(pointwise(f(x.mean(3)), w, "conv_h"), w, start)
    columns = blended(pointwise(f(x.mean(2)), w, "conv_w"), w, start)
    return x * rows[:, :, :, None] * columns[:, :, None, :]


def nl(x, w, options, start):
    d = max(1, x.shape[1] // options["r"])
    theta, phi, g = pointwise(x.flatten(2), w, "project").split(d, dim=1)
    similarity = torch.einsum("ndi,ndj->nij", theta, phi).exp()
    y = torch.einsum("nij,ndj->ndi", similarity / similarity.sum(2, keepdim=True), g)
    return x + norm(pointwise(y, w, "out"), w, "bn").view(x.shape)


def gc(x, w, options, start):
    flat = x.flatten(2)
    key = pointwise(flat, w, "key").exp()
    context = (flat * key / key.sum(2, keepdim=True)).sum(2)
    hidden = standardised(pointwise(context, w, "fc1"), 1)
    hidden = (hidden * w["norm.weight"] + w["norm.bias"]).clamp(min=0)
    return x + pointwise(hidden, w, "fc2")[..., None, None]


def a2(x, w, options, start):
    d = max(1, x.shape[1] // options["r"])
    a, b, v = pointwise(x.flatten(2), w, "project").split(d, dim=1)
    b, v = b.exp() / b.exp().sum(2, keepdim=True), v.exp() / v.exp().sum(1, keepdim=True)
    z = torch.einsum("nmi,nki,nkj->nmj", a, b, v)
    return x + pointwise(z, w, "out").view(x.shape)


def ese(x, w, options, start):
    return x * gated(pointwise(x.mean((2, 3)), w, "fc"), start)[..., None, None]


def srm(x, w, options, start):
    mean = x.mean((2, 3))
    std = ((x - mean[..., None, None]).square().mean((2, 3)) + 1e-5).sqrt()
    z = w["mix.weight"][:, 0, 0] * mean + w["mix.weight"][:, 0, 1] * std
    return x * gated(norm(z, w, "bn"), start)[..., None, None]


def fca(x, w, options, start):
    best = [(0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)]
    best += [(5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2)]
    n, channels, height, width = x.shape
    number = int(options["frequencies"])

    def b(position: int, index: int, length: int) -> float:
        frequency = index * length // 7
        scale = sqrt(1 / length) if frequency == 0 else sqrt(2 / length)
        return cos(pi * frequency * (position + 0.5) / length) * scale

    s = torch.zeros(n, channels, dtype=x.dtype)
    for c in range(channels):
        u, v = best[c * number // channels]
        for i in range(height):
            for j in range(width):
                s[:, c] += x[:, c, i, j] * b(i, u, height) * b(j, v, width)
    return x * gated(mlp(s, w), start)[..., None, None]


def gct(x, w, options, start):
    s = w["alpha"] * (x.square().sum((2, 3)) + 1e-5).sqrt()
    normed = sqrt(x.shape[1]) * s / (s.square().sum(1, keepdim=True) + 1e-5).sqrt()
    return x * (1 + torch.tanh(w["gamma"] * normed + w["beta"]))[..., None, None]


def lct(x, w, options, start):
    number = groups_of(x, options, 64)
    z = group_normed(x.mean((2, 3)), number, w["norm.weight"], w["norm.bias"])
    return x * gated(z, start)[..., None, None]


def sge(x, w, options, start):
    parts = []
    for i, part in enumerate(x.chunk(groups_of(x, options, 64), dim=1)):
        c = standardised((part.mean((2, 3), keepdim=True) * part).sum(1, keepdim=True), (2, 3))
        parts.append(part * gated(w["norm.weight"][i] * c + w["norm.bias"][i], start))
    return torch.cat(parts, dim=1)


def bam(x, w, options, start):
    z = x.mean((2, 3))
    z = pointwise(pointwise(z, w, "channel.0").clamp(min=0), w, "channel.2")
    by_channel = norm(z, w, "channel.3")[..., None, None]
    z = pointwise(x, w, "spatial.0").clamp(min=0)
    for layer in ("spatial.2", "spatial.4"):
        d = options["dilation"]
        weight, bias = w[f"{layer}.weight"], w[f"{layer}.bias"]
        z = F.conv2d(z, weight, bias, padding=d, dilation=d).clamp(min=0)
    by_position = norm(pointwise(z, w, "spatial.6"), w, "spatial.7")
    gate = gated(by_channel + by_position, start)
    return x * gate if start == "identity" else x + x * gate


def scse(x, w, options, start):
    by_channel = gated(mlp(x.mean((2, 3)), w), "paper")[..., None, None]
    return x * by_channel + x * gated(pointwise(x, w, "spatial"), "paper")


def triplet(x, w, options, start):
    total = 0
    for prefix, turn in (("over_channels.", (0, 1, 2, 3)), ("over_rows.", (0, 2, 1, 3))):
        turned = x.permute(turn)
        total = total + (turned * plane(turned.amax(1), turned.mean(1), w, start, prefix)).permute(
            turn
        )
    turned = x.permute(0, 3, 1, 2)
    gate = plane(turned.amax(1), turned.mean(1), w, start, "over_columns.")
    return (total + (turned * gate).permute(0, 2, 3, 1)) / 3


def shuffle(x, w, options, start):
    parts = []
    for part in x.chunk(groups_of(x, options, 64), dim=1):
        a, b = part.tensor_split((len(w["channel_weight"]),), dim=1)
        z = w["channel_weight"] * a.mean((2, 3)) + w["channel_bias"]
        parts.append(a * gated(z, start)[..., None, None])
        column = {key: w[key][:, None, None] for key in w}
        z = standardised(b, (2, 3)) * column["norm_weight"] + column["norm_bias"]
        parts.append(b * gated(column["spatial_weight"] * z + column["spatial_bias"], start))
    y = torch.cat(parts, dim=1)
    if start == "identity":
        return y
    first, second = y.chunk(2, dim=1)
    return torch.stack([first, second], dim=2).flatten(1, 2)


def ela(x, w, options, start):
    def gate(s: Tensor) -> Tensor:
        kernel = w["conv.weight"][:, 0]
        k, length = kernel.shape[1], s.shape[2]
        padded = F.pad(s, (k // 2, k // 2))
        z = sum(kernel[:, i, None] * padded[:, :, i : i + length] for i in range(k))
        number = max(n for n in range(1, 17) if x.shape[1] % n == 0)
        return gated(group_normed(z, number, w["norm.weight"], w["norm.bias"]), start)

    return x * gate(x.mean(3))[:, :, :, None] * gate(x.mean(2))[:, :, None, :]


def ema(x, w, options, start):
    parts = []
    for part in x.chunk(groups_of(x, options, 32), dim=1):
        rows = gated(pointwise(part.mean(3), w, "conv1"), "paper")[:, :, :, None]
        columns = gated(pointwise(part.mean(2), w, "conv1"), "paper")[:, :, None, :]
        by_strips = standardised(part * rows * columns, (2, 3))
        by_strips = by_strips * w["norm.weight"][:, None, None] + w["norm.bias"][:, None, None]
        convolved = F.conv2d(part, w["conv3.weight"], w["conv3.bias"], padding=1)
        strip_weights = by_strips.mean((2, 3), keepdim=True).softmax(1)
        convolved_weights = convolved.mean((2, 3), keepdim=True).softmax(1)
        z = (strip_weights * convolved).sum(1, keepdim=True) + (convolved_weights * by_strips).sum(
            1, keepdim=True
        )
        parts.append(part * blended(z, w, start))
    return torch.cat(parts, dim=1)


def strip(x, w, options, start):
    def along(s: Tensor, which: str) -> Tensor:
        length, padded = s.shape[2], F.pad(s, (1, 1))
        kernel = w[f"conv_{which}.weight"]
        taps = [
            torch.einsum("oc,ncl->nol", kernel[..., i], padded[..., i : i + length])
            for i in range(3)
        ]
        return norm(sum(taps), w, f"bn_{which}")

    y = along(x.mean(3), "h")[:, :, :, None] + along(x.mean(2), "w")[:, :, None, :]
    return x * gated(pointwise(y.clamp(min=0), w, "mix"), start)


def ge(x, w, options, start):
    extent = options.get("extent", "global")
    e, (height, width) = int(extent) if extent != "global" else 0, x.shape[2:]
    z = x
    if options.get("gather") == "conv":
        steps = e.bit_length() - 1 if e else 3
        for i in range(steps):
            kernel = w[f"gather.{3 * i}.weight"]
            z = F.conv2d(z, kernel, stride=2, padding=1, groups=len(kernel))
            z = norm(z, w, f"gather.{3 * i + 1}")
            z = z.clamp(min=0) if i < steps - 1 or options.get("mlp") else z
    elif e:
        windows = [
            [
                x[..., max(0, i - e + 1) : i + e, max(0, j - e + 1) : j + e].mean((2, 3))
                for j in range(0, width, e)
            ]
            for i in range(0, height, e)
        ]
        z = torch.stack([torch.stack(row, dim=2) for row in windows], dim=2)
    if not e:
        z = z.mean((2, 3), keepdim=True)
    if options.get("mlp"):
        z = pointwise(pointwise(z, w, "mlp.0").clamp(min=0), w, "mlp.2")
    layered = options.get("mlp") or options.get("gather") == "conv"
    gate = gated(z, start) if layered else blended(z, w, start)
    rows = [i * gate.shape[2] // height for i in range(height)]
    columns = [j * gate.shape[3] // width for j in range(width)]
    return x * gate[:, :, rows][:, :, :, columns]


def simam(x, w, options, start):
    d = (x - x.mean((2, 3), keepdim=True)).square()
    v = d.sum((2, 3), keepdim=True) / max(1, x.shape[2] * x.shape[3] - 1)
    return x * blended(d / (4 * (v + 1e-4)) + 0.5, w, start)


def sk(x, w, options, start):
    # By itself; tests/spaces/networks/test_published.py has it beside a block's convolution.
    number = channel_groups(x.shape[1], 32)
    u = F.conv2d(x, w["branch.0.weight"], padding=2, dilation=2, groups=number)
    branches = [x, norm(u, w, "branch.1").clamp(min=0)]
    z = norm(pointwise(sum(branches).mean((2, 3)), w, "squeeze"), w, "bn").clamp(min=0)
    select = torch.stack([z @ a.T for a in w["select.weight"].chunk(2)]).softmax(0)
    y = sum(a[..., None, None] * u for a, u in zip(select, branches, strict=True))
    return x + w["weight"] * (y - x) if start == "identity" else y


PAPERS = {
    function.__name__: function
    for function in (
        *(se, eca, cbam, ca, nl, gc, a2, ese, channel, srm, fca, gct, lct, spatial, sge, bam),
        *(scse, triplet, shuffle, ela, ema, strip, ge, simam, sk),
    )
}


def test_every_attention_of_the_catalogue_is_compared_with_its_paper():
    assert set(PAPERS) == set(ATTENTIONS) == {name for name, _ in CASES}


@every_case
@every_start
@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_forward_is_the_papers_formula(name, options, start, size, make, randomise):
    module = randomise(make(name, 24, options, start)).double().eval()
    x = torch.randn(3, 24, *size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = PAPERS[name](x, module.state_dict(), options, start)
    torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(module(x), x)
