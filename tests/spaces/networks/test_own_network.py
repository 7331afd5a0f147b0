"""Attention in networks that are not timm's: places, keys, outputs, and what is refused."""

from __future__ import annotations

import copy
import pickle

import attentune
import pytest
import torch
from attentune.errors import ArchitectureError, BackboneError, UsageError
from attentune.spaces.backbones.network_sites import find_network_sites
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.attention_checks import labelled_attentions
from torch import Tensor, nn

import_timm()  # Makes torchvision importable beside a CPU build of torch.


class Down(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(2 * channels)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.act(self.bn(self.conv1(x))))


class Up(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels // 2, 2, 2)
        self.conv = nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat([self.up(x), skip], 1))


class UNet(nn.Module):
    """Concatenates, takes a list of skips, and returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.downs = nn.ModuleList([Down(8), Down(16)])
        self.ups = nn.ModuleList([Up(32), Up(16)])
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x, skips = self.stem(x), []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for up in self.ups:
            x = up(x, skips.pop())
        return {"masks": self.head(x)}


def unet() -> nn.Module:
    torch.manual_seed(0)
    return UNet().eval()


def torchvision_network() -> nn.Module:
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.mobilenet_v3_small(weights=None, num_classes=3).eval()


EXAMPLE = torch.zeros(1, 3, 32, 32)


def output(model: nn.Module) -> Tensor:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result = model(images)
    return result["masks"] if isinstance(result, dict) else result


@pytest.mark.parametrize(
    ("make", "text", "number"),
    [
        (unet, "cbam(r=2,start=identity)@all.post", 2),
        (unet, "eca(start=identity)@{stem},{ups.1.conv}.post+se(r=2,start=identity)@{head}.pre", 3),
        (unet, "+eca(start=identity)@s2.post", 1),
        (unet, "some_backbone+eca(start=identity)@s2.post", 1),
        (
            torchvision_network,
            "ca(r=8,start=identity)@all.residual+eca(start=identity)@s2.post",
            13,
        ),
    ],
)
def test_an_identity_start_leaves_output_and_keys_as_they_were(make, text, number):
    model, plain = make(), make()
    assert attentune.insert(model, text, EXAMPLE, seed=0) is model
    assert len(labelled_attentions(model)) == number
    assert torch.equal(output(model), output(plain))
    assert plain.state_dict().keys() <= model.state_dict().keys()
    model.load_state_dict(plain.state_dict(), strict=False)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(output(twin), output(model))


def test_attention_has_the_modes_type_and_seed_that_it_should():
    model = unet().double()
    model.ups.train()
    attentune.insert(model, "cbam(r=2)@{stem}.post", EXAMPLE.double(), seed=5)
    (attention,) = labelled_attentions(model)
    assert model.ups.training
    assert not model.downs.training
    assert {p.dtype for p in attention.parameters()} == {torch.float64}
    twin = attentune.insert(unet().double(), "cbam(r=2)@{stem}.post", EXAMPLE.double(), seed=5)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_network_learns_through_its_attention():
    model = attentune.insert(unet(), "se(r=2)@{stem}.post", EXAMPLE).train()
    model(torch.randn(2, 3, 32, 32))["masks"].square().sum().backward()
    assert all(
        p.grad is not None and p.grad.any() for p in labelled_attentions(model)[0].parameters()
    )


def test_the_own_attention_of_a_network_is_removed():
    sites = find_network_sites(torchvision_network(), EXAMPLE)
    assert len(sites.own_attention) == 9
    model = attentune.insert(torchvision_network(), "net(attention=none)+eca@all.residual", EXAMPLE)
    fewer = sum(p.numel() for p in model.parameters())
    assert fewer < sum(p.numel() for p in torchvision_network().parameters())
    some = attentune.insert(torchvision_network(), "net(attention=none@s3)", EXAMPLE)
    assert fewer < sum(p.numel() for p in some.parameters())
    with pytest.raises(ArchitectureError, match="has no s99; its stages are s1"):
        attentune.insert(torchvision_network(), "net(attention=none@s99)", EXAMPLE)


def test_sites_of_modules_are_their_inputs_and_outputs():
    sites = {(s.module, s.position): s for s in find_network_sites(unet(), EXAMPLE).module_sites}
    assert (sites["stem", "post"].channels, sites["stem", "post"].height) == (8, 32)
    assert sites["downs.0", "pre"].channels == 8
    assert sites["downs.0", "post"].channels == 16
    assert sites["ups.0.conv", "pre"].channels == 32


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("se(r=2)", "expected '@' and a place after se"),
        ("se(r=2)@{stam}.post", "no module stam that runs once .* did you mean 'stem'"),
        ("se(r=2)@{stem}.mid", "modules have the positions pre and post"),
        ("se(r=2)@s9.post", "UNet has no s9; its stages are s1 to s2"),
        ("see(r=2)@all.post", "unknown attention 'see'"),
        ("se(r=2)@{stem.post", "expected a place"),
    ],
)
def test_a_wrong_place_gets_a_sentence(text, sentence):
    with pytest.raises(ArchitectureError, match=sentence):
        attentune.insert(unet(), text, EXAMPLE)


@pytest.mark.parametrize(
    ("example", "kind", "sentence"),
    [
        (torch.zeros(3, 32, 32), UsageError, r"the example is \(3, 32, 32\)"),
        (None, UsageError, "the example is a NoneType"),
        ((), UsageError, "the example is a NoneType"),
        (torch.zeros(1, 1, 32, 32), BackboneError, "UNet does not run on the example: "),
        ((EXAMPLE, 1), BackboneError, "UNet does not run on the example: "),
    ],
)
def test_a_wrong_example_gets_a_sentence(example, kind, sentence):
    model = unet()
    with pytest.raises(kind, match=sentence):
        attentune.insert(model, "se(r=2)@all.post", example)
    assert torch.equal(output(model), output(unet()))


def test_a_network_without_maps_and_one_with_attention_are_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    with pytest.raises((ArchitectureError, BackboneError)):
        attentune.insert(flat, "se(r=2)@all.post", EXAMPLE)
    model = attentune.insert(unet(), "se(r=2)@{stem}.post", EXAMPLE)
    with pytest.raises(UsageError, match="has been inserted into this network already"):
        attentune.insert(model, "se(r=2)@{stem}.post", EXAMPLE)


def test_paths_of_modules_are_for_networks_of_ones_own():
    with pytest.raises(ArchitectureError, match=r"which only attentune\.insert can look up"):
        attentune.create_model("test_resnet+se@{layer1}.post")
    text = "net+se(r=4)@all,{b.1},{a}.post"
    assert str(attentune.Architecture.parse(text)) == "net+se(r=4)@all,{a},{b.1}.post"


class FusedConv(nn.Module):
    """A convolution and its norm, which become one layer when the network is used."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))

    def forward_fuse(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


class FusedBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cv1, self.cv2 = FusedConv(8, 8), FusedConv(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))


class FusedNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = FusedConv(3, 8), FusedBlock()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.stem(x))

    def fuse(self) -> None:
        """Merge all norms, in the way of YOLO networks."""
        for module in self.modules():
            if isinstance(module, FusedConv) and hasattr(module, "bn"):
                module.conv = nn.utils.fuse_conv_bn_eval(module.conv, module.bn)
                del module.bn
                module.forward = module.forward_fuse


@pytest.mark.parametrize("place", ["@all.residual", "@{stem}.post", "@{block.cv2}.pre"])
def test_blocks_that_a_network_fuses_keep_their_attention(place):
    torch.manual_seed(0)
    model = FusedNetwork().eval()
    images = torch.randn(2, 3, 32, 32)
    bare = model(images)
    attentune.insert(model, f"se(r=4){place}", EXAMPLE)
    attended = model(images)
    assert not torch.allclose(attended, bare, atol=1e-2)
    model.fuse()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(model(images), attended)


@pytest.mark.parametrize("module", ["stem.bn", "block.cv1.conv"])
def test_there_are_no_places_between_layers_that_become_one(module):
    with pytest.raises(ArchitectureError, match=f"no module {module}"):
        attentune.insert(FusedNetwork(), f"se(r=4)@{{{module}}}.post", EXAMPLE)


class Detector(nn.Module):
    """Residual blocks at the top level, and others inside the modules between them."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(FusedBlock(), FusedBlock())
        self.stem = FusedConv(3, 8)
        self.model = nn.Sequential(FusedBlock(), inner, FusedBlock())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.stem(x))


def test_a_block_has_its_path_although_the_blocks_of_a_stage_do_not_follow_each_other():
    sites = find_network_sites(Detector(), EXAMPLE)
    for site in sites.sites:
        if site.position == "post":
            assert sites.block_path(site.stage, site.block) == site.module
    order = [(site.stage, site.block) for site in sites.sites if site.position == "post"]
    assert order != sorted(order)
