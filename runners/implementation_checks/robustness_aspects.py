"""What happens to an implementation in use: batches of one, sizes, precision, saving, ONNX."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import AttentionError
from ...sanitize import clean_error
from .implementation import (
    Implementation,
    describe_cause,
    describe_failure,
    listed,
    random_map,
    show_shape,
)
from .operator_trace import trace_operators
from .report import CheckedAspect, Outcome
from .weight_mapping import draw_weights

BF16_TOLERANCE = 0.1


def _run(implementation: Implementation, x: Tensor, *, training: bool) -> Any:
    module = implementation.make().train(training)
    return module(x * 1.0)


def _batch_of_one(implementation: Implementation) -> CheckedAspect:
    aspect, channels = "batch 1", implementation.channels
    _run(implementation, random_map(channels, images=1), training=True)
    try:
        _run(implementation, random_map(channels, 1, 1, 1), training=True)
    except (Exception, SystemExit) as error:
        sentence = (
            f"one image in training mode works, but not with a map of 1×1 ({clean_error(error)})"
        )
        return CheckedAspect(aspect, "note", sentence)
    return CheckedAspect(aspect, "same", "one image in training mode works, also with a 1×1 map")


def _map_sizes(implementation: Implementation) -> CheckedAspect:
    sizes = ((7, 5), (13, 9), (1, 1), (1, 4))
    for height, width in sizes:
        for training in (True, False):
            x = random_map(implementation.channels, 2, height, width)
            shown = f"for maps of {height}×{width}"
            try:
                y = _run(implementation, x, training=training)
            except (Exception, SystemExit) as error:
                return CheckedAspect("map sizes", "fails", describe_failure(error, shown))
            if not isinstance(y, Tensor) or not bool(y.isfinite().all()):
                sentence = f"it returns NaN or infinity {shown}"
                return CheckedAspect("map sizes", "fails", sentence)
            if y.shape != x.shape and y.shape[2:] not in ((1, 1), x.shape[2:]):
                sentence = f"it returns {show_shape(tuple(y.shape))} {shown}"
                return CheckedAspect("map sizes", "fails", sentence)
    names = ", ".join(f"{height}×{width}" for height, width in sizes)
    return CheckedAspect("map sizes", "same", f"maps of {names} work")


def _bf16(implementation: Implementation) -> CheckedAspect:
    x = random_map(implementation.channels)
    module = implementation.make().eval()
    with torch.no_grad():
        exact = module(x.clone())
        y = copy.deepcopy(module).to(torch.bfloat16)(x.to(torch.bfloat16))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            module(x.clone())
    if y.dtype != torch.bfloat16:
        sentence = f"it turns a bf16 map into {str(y.dtype).removeprefix('torch.')}"
        return CheckedAspect("bf16", "fails", sentence)
    difference = float((y.float() - exact).norm() / exact.norm().clamp_min(1e-12))
    if not difference <= BF16_TOLERANCE:
        sentence = f"its outputs in bf16 differ by {difference:.2g} from those in float32"
        return CheckedAspect("bf16", "note", sentence)
    return CheckedAspect("bf16", "same", "works, also under autocast")


def _determinism(implementation: Implementation) -> CheckedAspect:
    aspect = "determinism"
    x = random_map(implementation.channels)
    torch.manual_seed(0)
    module = implementation.make()
    outputs = []
    for training, seed in ((True, 0), (True, 0), (True, 1), (False, 0), (False, 1)):
        torch.manual_seed(seed)
        with torch.no_grad():
            outputs.append(copy.deepcopy(module).train(training)(x.clone()))
    if not torch.equal(outputs[0], outputs[1]):
        return CheckedAspect(aspect, "fails", "two passes with the same seed differ")
    if not torch.equal(outputs[3], outputs[4]):
        return CheckedAspect(aspect, "fails", "it is random in evaluation mode")
    notes = []
    if not torch.equal(outputs[0], outputs[2]):
        notes.append("it is random in training mode, as with dropout, which the paper has not")
    trace = trace_operators(module, implementation.channels)
    if trace is not None and "adaptive_max_pool2d" in trace.operators:
        notes.append(
            "adaptive_max_pool2d has no deterministic gradient on CUDA; x.amax((2, 3)) has"
        )
    if notes:
        return CheckedAspect(aspect, "note", "; ".join(notes))
    return CheckedAspect(aspect, "same", "two passes with the same seed are equal")


def _gradients(implementation: Implementation) -> CheckedAspect:
    module = implementation.make().train()
    x = random_map(implementation.channels).requires_grad_()
    module(x * 1.0).square().sum().backward()
    unused = [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        sentence = (
            f"{listed(unused)} never get{'s' if len(unused) == 1 else ''} a gradient: unused "
            "parameters, with which DistributedDataParallel stops"
        )
        return CheckedAspect("gradients", "differs", sentence)
    if x.grad is None or not bool(x.grad.isfinite().all()):
        return CheckedAspect("gradients", "fails", "the map gets no finite gradient")
    return CheckedAspect("gradients", "same", "they reach the map and all parameters")


def _state(implementation: Implementation) -> CheckedAspect:
    aspect = "state dict"
    module = implementation.make().eval()
    if implementation.construction.is_fixed and module.state_dict():
        again = copy.deepcopy(module)
    else:
        again = implementation.make().eval()
    x = random_map(implementation.channels)
    incompatible = again.load_state_dict(module.state_dict(), strict=True)
    del incompatible
    with torch.no_grad():
        equal = torch.equal(module(x.clone()), again(x.clone()))
    if not equal:
        sentence = "a module that loads the state dict of another one has other outputs"
        return CheckedAspect(aspect, "fails", sentence)
    loose = [
        f"{path}.{name}".lstrip(".")
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, Tensor)
    ]
    if loose:
        sentence = (
            f"{listed(loose)} is a tensor outside of the state dict, which `.to(device)` does not "
            "move; use register_buffer"
        )
        return CheckedAspect(aspect, "fails", sentence)
    return CheckedAspect(aspect, "same", "its weights can be saved and loaded; nothing is left out")


def _onnx(implementation: Implementation) -> CheckedAspect:
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        sentence = 'not checked: it needs pip install "attentune[onnx]"'
        return CheckedAspect("ONNX", "note", sentence)
    module = implementation.make().eval()
    # The older exporter merges tensors that are equal, as in a fresh module, and may lose one.
    draw_weights(module)
    try:
        _compare_in_onnxruntime(module, implementation.channels, dynamo=False)
    except Exception:
        if find_spec("onnxscript") is None:
            raise
        _compare_in_onnxruntime(module, implementation.channels, dynamo=True)
        sentence = "torch's newer exporter writes it (dynamo=True), the older one does not"
        return CheckedAspect("ONNX", "note", sentence)
    return CheckedAspect("ONNX", "same", "exported, with the same outputs in onnxruntime")


def _compare_in_onnxruntime(module: nn.Module, channels: int, *, dynamo: bool) -> None:
    """Export a module, and run it; ValueError if its outputs differ."""
    import onnxruntime

    x = random_map(channels)
    with warnings.catch_warnings(), torch.no_grad(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        expected = module(x.clone())
        file = str(Path(folder) / "attention.onnx")
        torch.onnx.export(
            module,
            (x.clone(),),
            file,
            input_names=["x"],
            output_names=["y"],
            dynamo=dynamo,
            verbose=False,
        )
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (output,) = session.run(["y"], {"x": x.numpy()})
    if not torch.allclose(torch.from_numpy(output), expected, rtol=1e-3, atol=1e-4):
        raise ValueError("onnxruntime gives other outputs than torch")


ROBUSTNESS: dict[str, Callable[[Implementation], CheckedAspect]] = {
    "batch 1": _batch_of_one,
    "map sizes": _map_sizes,
    "bf16": _bf16,
    "determinism": _determinism,
    "gradients": _gradients,
    "state dict": _state,
    "ONNX": _onnx,
}
_CONSEQUENCES = {
    "batch 1": "one image in training mode, with which detection libraries try a network,",
    "bf16": "bf16",
    "state dict": "saving and loading its weights",
    "ONNX": "the export to ONNX",
    "gradients": "the backward pass",
    "determinism": "repeating a pass",
}


def examine_robustness(
    aspect: str, examine_aspect: Callable[[Implementation], CheckedAspect], subject: Implementation
) -> CheckedAspect:
    """One aspect; an exception is a failure of it.

    Args:
        aspect: its name.
        examine_aspect: examines it.
        subject: the implementation.
    """
    outcome: Outcome = "fails"
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return examine_aspect(subject)
    except AttentionError as error:
        return CheckedAspect(aspect, outcome, clean_error(error))
    except (Exception, SystemExit) as error:
        what = _CONSEQUENCES.get(aspect, aspect)
        return CheckedAspect(aspect, outcome, f"{what} fails: {describe_cause(error)}")
