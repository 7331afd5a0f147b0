"""What a network with attention goes through in its life, and comes out of unchanged."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path

import onnxruntime
import pytest
import torch
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.build import build_network
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

SIZE = 32
PLACES = "+se(r=4)@all.residual+eca@all.pre+ca(r=4)@all.identity"
HOOKED = {
    # All kinds of hooks (output, input, shortcut, beside a convolution), on maps of both layouts.
    "channels first": f"resnet10t{PLACES}+sk(r=4)@all.mid",
    "channels last": f"test_mambaout{PLACES}",
}


def make(text: str, seed: int = 3) -> nn.Module:
    return build_network(parse(text), num_classes=5, image_size=SIZE, seed=seed).eval()


@pytest.fixture(scope="module", params=HOOKED)
def text(request) -> str:
    return HOOKED[request.param]


@pytest.fixture(scope="module")
def hooked(text) -> nn.Module:
    model = make(text)
    names = {path.rpartition(".")[2] for path, _ in model.named_modules()}
    assert {"attention", "attention_in", "attention_shortcut"} <= names
    return model


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    model.train()(x).square().sum().backward()
    return [parameter.grad for parameter in model.parameters()]


# --- copies, files, programs ----------------------------------------------------------------------


def _saved_and_loaded(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    text = HOOKED["channels first" if hasattr(model, "layer1") else "channels last"]
    fresh = make(text, seed=99)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


def _exported(model: nn.Module) -> nn.Module:
    return torch.export.export(model, (torch.randn(2, 3, SIZE, SIZE),)).module()


def _compiled(model: nn.Module) -> nn.Module:
    torch._dynamo.reset()
    return torch.compile(model, backend="aot_eager", fullgraph=True)


TRANSFORMS = {
    "deepcopy": copy.deepcopy,
    "deepcopy twice": lambda model: copy.deepcopy(copy.deepcopy(model)),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "state dict": _saved_and_loaded,
    "export": _exported,
    "compile": _compiled,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_network_survives(transform, hooked, image):
    with torch.no_grad():
        expected = hooked(image)
        output = transform(copy.deepcopy(hooked))(image)
    torch.testing.assert_close(output, expected)


def test_symbolic_tracing_keeps_what_hooks_do(image):
    hooked = make(HOOKED["channels first"])
    with torch.no_grad():
        torch.testing.assert_close(torch.fx.symbolic_trace(hooked)(image), hooked(image))


def test_a_copy_works_apart_from_its_original(hooked, image):
    twin = copy.deepcopy(hooked)
    expected = hooked(image)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not torch.equal(twin(image), expected)
    assert torch.equal(hooked(image), expected)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_onnxruntime_computes_the_same(hooked, image, tmp_path):
    file = tmp_path / "network.onnx"
    torch.onnx.export(copy.deepcopy(hooked), (image,), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (name,) = (argument.name for argument in session.get_inputs())
    (output,) = session.run(None, {name: image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(output), hooked(image), rtol=1e-4, atol=1e-5)


def test_blocks_remain_instances_of_their_class():
    hooked, plain = make(HOOKED["channels first"]), make("resnet10t")
    assert isinstance(hooked.layer1[0], type(plain.layer1[0]))


# --- training -------------------------------------------------------------------------------------


def test_gradient_checkpointing_gives_the_same_gradients(hooked, image):
    expected = gradients(copy.deepcopy(hooked), image)
    model = copy.deepcopy(hooked)
    model.set_grad_checkpointing(True)
    for gradient, expected_gradient in zip(gradients(model, image), expected, strict=True):
        torch.testing.assert_close(gradient, expected_gradient)


@pytest.fixture
def gloo(tmp_path: Path):
    """A process group of this one process."""
    store = f"file://{tmp_path}/store"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_distributed_training_gives_the_same_gradients(hooked, image, gloo):
    expected = gradients(copy.deepcopy(hooked), image)
    parallel = DistributedDataParallel(copy.deepcopy(hooked))
    for gradient, expected_gradient in zip(gradients(parallel, image), expected, strict=True):
        torch.testing.assert_close(gradient, expected_gradient)


def test_sharded_training_gives_the_same_gradients_and_keys(hooked, image, gloo):
    plain, model = copy.deepcopy(hooked), copy.deepcopy(hooked)
    expected = gradients(plain, image)
    keys = list(plain.state_dict())
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    for gradient, expected_gradient in zip(gradients(model, image), expected, strict=True):
        torch.testing.assert_close(gradient.full_tensor(), expected_gradient)
    assert list(model.state_dict()) == keys
    assert set(get_model_state_dict(model)) == set(keys)  # as distributed checkpoints name them


def test_an_average_of_weights_follows_the_network(hooked, image):
    model = copy.deepcopy(hooked)
    average = import_timm().utils.ModelEmaV3(model, decay=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    average.update(model)
    weight, averaged = next(model.parameters()), next(average.module.parameters())
    torch.testing.assert_close(averaged, 1.5 * weight)
    assert average.module.eval()(image).shape == (2, 5)


def test_autocast_reaches_every_parameter(hooked, image):
    model = copy.deepcopy(hooked)
    with torch.no_grad():
        expected = model(image)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            torch.testing.assert_close(model(image).float(), expected, rtol=0.05, atol=0.05)
        loss = model.train()(image).float().square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_channels_last_memory_changes_nothing_but_speed(hooked, image):
    # In double precision: the norms of maps of one place multiply what rounding does.
    plain, x = copy.deepcopy(hooked).double(), image.double()
    model = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    reordered = x.to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(model(reordered), plain(x))
    for gradient, expected_gradient in zip(
        gradients(model, reordered), gradients(plain, x), strict=True
    ):
        torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("attention", ["cbam", "channel", "ema", "shuffle", "simam"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnxruntime_computes_the_same_after_the_older_exporter(attention, trained, tmp_path):
    model = make(f"test_resnet+{attention}@s2-s3.residual")
    if trained:  # Before, some weights are equal, and the exporter writes them once.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) / 10)
    x, file = torch.randn(2, 3, SIZE, SIZE), tmp_path / "network.onnx"
    torch.onnx.export(model, (x,), file, dynamo=False, opset_version=17)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(output), model(x), rtol=1e-4, atol=1e-5)
