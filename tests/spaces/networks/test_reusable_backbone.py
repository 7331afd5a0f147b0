"""One plain backbone serves many architectures, each as if it had been built alone."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import ArchitectureError
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from attentune.spaces.networks.reusable_backbone import ReusableBackbone

CPU = torch.device("cpu")
ARCHITECTURES = {
    "test_resnet": (
        "test_resnet",
        "test_resnet+se(r=4)@all.residual+eca@s2.pre+ca(r=4)@s1.identity",
        "test_resnet+sk(r=4,start=identity)@all.mid+cbam(r=4)@s1-s2.stage",
        "test_resnet+se(r=2)@s1.residual",
    ),
    "test_mambaout": ("test_mambaout+se(r=4)@all.residual+eca@all.identity", "test_mambaout"),
    "test_efficientnet": (
        "test_efficientnet(attention=none)+eca@all.mid",
        "test_efficientnet",
        "test_efficientnet(attention=none@s5)+se(r=4)@s5.mid",
        "test_efficientnet(attention=none)",
    ),
}


def make_backbone(text: str) -> ReusableBackbone:
    architecture = parse(text)
    return ReusableBackbone(
        architecture.backbone,
        num_classes=5,
        image_size=64,
        stem="native",
        pretrained=False,
        device=CPU,
    )


@pytest.mark.parametrize("texts", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_every_network_is_the_one_that_is_built_alone(texts):
    plain = make_backbone(texts[0])
    x = torch.randn(2, 3, 64, 64)
    for seed in (0, 1, 0):
        for text in texts:
            with plain.network(parse(text), seed) as model:
                alone = build_network(parse(text), num_classes=5, image_size=64, seed=seed)
                assert list(model.state_dict()) == list(alone.state_dict())
                for value, expected in zip(
                    model.state_dict().values(), alone.state_dict().values(), strict=True
                ):
                    assert torch.equal(value, expected)
                assert model.training
                for network in (model, alone):
                    network.to(memory_format=torch.channels_last)
                torch.manual_seed(0)
                y = model(x)
                torch.manual_seed(0)
                assert torch.equal(y, alone(x))
                # Whatever a trial does to it is undone.
                y.sum().backward()
                model.eval()
                with torch.no_grad():
                    for tensor in (*model.parameters(), *model.buffers()):
                        tensor.zero_()


def test_what_fails_inside_leaves_the_backbone_plain():
    plain = make_backbone("test_resnet")
    with (
        pytest.raises(ZeroDivisionError),
        plain.network(parse("test_resnet+se@all.pre"), 0) as model,
    ):
        raise ZeroDivisionError
    with pytest.raises(ArchitectureError), plain.network(parse("test_resnet+se@s9.pre"), 0):
        pass
    with plain.network(parse("test_resnet"), 0) as model:
        assert not any("attention" in name for name, _ in model.named_modules())
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
        assert not any(hooks)


def test_of_many_seeds_the_weights_are_still_those_of_the_seed():
    plain = make_backbone("test_resnet")
    first = {}
    for seed in (*range(6), *range(6)):
        with plain.network(parse("test_resnet"), seed) as model:
            weight = model.conv1[0].weight.detach().clone()
        assert torch.equal(first.setdefault(seed, weight), weight)
    assert len({float(weight.sum()) for weight in first.values()}) == 6
