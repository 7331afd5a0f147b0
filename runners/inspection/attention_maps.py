"""What a trained network looks at: which channels its attention passes on, and which places.

`collect_attention_maps` builds a trial's network, loads its weights, runs it on some validation
images, and takes down a few sums at every inserted attention and at the end of every stage.
Nothing has to be known of a mechanism: an attention is described by its input x and its output y,
both (N, C, H, W).

    look what    Σ|y| / Σ|x| over pictures and places, one number a channel, 1 = passed on unchanged
    look where   Σ|y| / Σ|x| over channels, one number a picture and place
    energy       mean |feature| over channels where a stage ends: the bare backbone has no gate

    python -m attentune.runners.inspection.attention_maps REQUEST.json RESULT.json

does it for programs that must not import torch; this module itself imports it only to look.
"""

from __future__ import annotations

import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...errors import AttentuneError, UsageError
from ...spaces.architecture import Architecture, parse
from ...spaces.backbones.sites import Anchor
from ...spaces.networks.placement import Placement, placements
from ..data import load_data
from ..data.dataset import Images, Labels
from ..recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...spaces.backbones.trace import Layout

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

FORMAT = 1
"""Of the JSON; raise it when the numbers in it change their meaning."""
MOST = 64
"""Pictures at a time, as they go through the network in one batch."""
_CHILD = {"out": "attention", "in": "attention_in", "shortcut": "attention_shortcut"}
"""What `insert` calls the attention at an anchor of each kind."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """One inserted attention at work; NaN where nothing came in.

    Attributes:
        site: where it is, as in an architecture text: `s3b2.residual`.
        channels: (C,) look what; empty if channels come out in another order.
        places: (N, H, W) look where.
    """

    site: str
    stage: int
    attention: str
    channels: Floats
    places: Floats


@dataclass(frozen=True, eq=False)
class StageEnergy:
    """What leaves one stage, attention included: (N, H, W), the mean |feature| over channels."""

    stage: int
    places: Floats


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """What one network made of N validation pictures.

    Attributes:
        epochs: how many a training that still goes on had done; None for one that has ended.
        pictures: uint8 (N, S, S, 3); `indices` (N,) are their numbers in the validation split.
        labels, predicted: (N,) numbers of classes, the true one and the likeliest.
        probabilities: (N,) of the likeliest class, in [0, 1].
        left_out: what could not be seen, a sentence each.
    """

    architecture: str
    epochs: int | None
    classes: tuple[str, ...]
    pictures: Images
    indices: Labels
    labels: Labels
    predicted: Labels
    probabilities: Floats
    gates: tuple[AttentionMap, ...]
    stages: tuple[StageEnergy, ...]
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types only: four significant digits, None for NaN, pictures in base64."""
        return {"format": FORMAT, **{name: _plain(value) for name, value in vars(self).items()}}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AttentionMaps:
        """The inverse of `to_json`; KeyError, TypeError or ValueError if it is no such thing."""
        fields = dict(data)
        if fields.pop("format") != FORMAT:
            raise ValueError("looks in another format")
        for name in ("indices", "labels", "predicted"):
            fields[name] = np.array(fields[name], np.int64)
        for name in ("classes", "left_out"):
            fields[name] = tuple(fields[name])
        fields["probabilities"] = _floats(fields["probabilities"])
        fields["pictures"] = _images(fields["pictures"])
        fields["gates"] = tuple(AttentionMap(**_arrays(one)) for one in fields["gates"])
        fields["stages"] = tuple(StageEnergy(**_arrays(one)) for one in fields["stages"])
        return cls(**fields)


def collect_attention_maps(
    architecture: Architecture, recipe: Recipe, weights: Path, *, pictures: int = 8, seed: int = 0
) -> AttentionMaps:
    """See a trial's network at work on validation pictures, on one thread of the CPU, in float32.

    `weights` is what a trial leaves: the file of one that has ended, or a checkpoint. Which
    pictures are shown depends on the data and `seed` alone, so two networks see the same ones: of
    as many classes as there can be, at most the whole split.

    Raises UsageError for less than one picture or too many, AttentuneError for weights that do not
    fit, and as `build` and `load_data`.
    """
    if not 1 <= pictures <= MOST:
        raise UsageError(f"one can look at 1 to {MOST} pictures at a time, not {pictures}")
    data = load_data(recipe)
    chosen = _spread(data.val.labels, pictures, seed)
    images = np.array(data.val.images[chosen])
    normalised = (images / 255 - np.array(data.mean)) / np.array(data.std)
    with _one_thread():
        network = _Network(architecture, recipe, len(data.classes))
        epochs = network.load(weights)
        probabilities = network.see(normalised.astype(np.float32))
    predicted = probabilities.argmax(1)
    return AttentionMaps(
        architecture=str(architecture),
        epochs=epochs,
        classes=data.classes,
        pictures=images,
        indices=chosen,
        labels=np.array(data.val.labels[chosen]),
        predicted=predicted,
        probabilities=probabilities[np.arange(len(chosen)), predicted],
        gates=tuple(network.gates),
        stages=tuple(network.stages),
        left_out=tuple(network.left_out),
    )


class _Network:
    """A trial's network on the CPU, and what is seen of it."""

    def __init__(self, architecture: Architecture, recipe: Recipe, num_classes: int) -> None:
        import torch

        from ...spaces.backbones.discover import find_sites
        from ...spaces.networks.build import build

        self.architecture, self.recipe = architecture, recipe
        self.gates: list[AttentionMap] = []
        self.stages: list[StageEnergy] = []
        self.left_out: list[str] = []
        self.sites = find_sites(
            architecture.backbone,
            image_size=recipe.image_size,
            stem=recipe.stem,
            strip_attention=architecture.strip_attention,
        )
        self.model = build(
            architecture,
            num_classes=num_classes,
            image_size=recipe.image_size,
            stem=recipe.stem,
            seed=0,
        ).eval()
        if recipe.channels_last:  # as in training: a checkpoint holds tensors as they lay there
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def load(self, weights: Path) -> int | None:
        """Put a trial's weights in; the epochs that a checkpoint had seen."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from ..training import checkpoint
        from ..training.optimizer import WeightAverage, make_optimizer

        model, recipe, facts = self.model, self.recipe, checkpoint.read_facts(weights)
        try:
            if facts is None:
                model.load_state_dict(load_file(weights))
                return None
            device = next(model.parameters()).device
            optimizer = make_optimizer(model, recipe, device, flat=False)
            average = WeightAverage(model, optimizer, recipe.ema) if recipe.ema else None
            checkpoint.make_room(optimizer, facts["optimizer"])  # another network's is refused here
            checkpoint.load(weights, checkpoint.state_of(model, optimizer, average))
            if average:
                average.swap()  # these are judged and would be kept
            return int(facts["epoch"])
        except (OSError, RuntimeError, KeyError, ValueError, SafetensorError) as error:
            raise AttentuneError(
                f"the weights in {weights} do not fit {self.architecture} ({_line(error)}); "
                "look at another trial."
            ) from error

    def see(self, pictures: Floats) -> Floats:
        """Show normalised pictures (N, H, W, 3); probabilities (N, classes), as trials are judged:
        of a picture and its mirror image together if the recipe says so."""
        import torch

        images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        fitted = placements(self.architecture, self.sites)
        pairs = zip(fitted, self._modules(fitted), strict=True)
        hooks = [hook for placement, module in pairs for hook in self._watch(placement, module)]
        hooks += [hook for stage in self.sites.blocks for hook in self._watch_end(stage)]
        with torch.no_grad():
            logits = self.model(images)
            for hook in hooks:
                hook.remove()
            if self.recipe.mirror:
                logits = (logits + self.model(images.flip(3))) / 2
        probabilities: Floats = logits.softmax(1).numpy()
        return probabilities

    def _modules(self, fitted: Sequence[Placement]) -> Iterator[nn.Module]:
        """The modules of all attentions, by the names that `insert_all` gives them."""
        named: Counter[tuple[Anchor, str]] = Counter()
        for placement in fitted:
            anchor, name = placement.site.anchor, placement.insertion.attention
            named[anchor, name] += 1
            host = self.model.get_submodule(anchor[1])
            *_, child = (c for c, _ in host.named_children() if c.rstrip("_") == _CHILD[anchor[0]])
            inner = f"{child}.attention" if anchor[0] == "shortcut" else child
            count = named[anchor, name]
            yield host.get_submodule(f"{inner}.{name if count == 1 else f'{name}_{count}'}")

    def _watch(self, placement: Placement, module: nn.Module) -> list[Any]:
        """Hooks on an attention. They sum at once: what follows may change a map in place."""
        site, name = placement.site, placement.insertion.attention
        given: list[tuple[Doubles, Doubles]] = []

        def before(_: nn.Module, args: tuple[Any, ...]) -> None:
            given[:] = [_sums(args[0])]

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if getattr(output, "shape", None) != args[0].shape:
                self.left_out.append(f"{name} at {site.label} changes its map's shape: left out.")
                return
            channels, places = map(_ratio, _sums(output), given.pop())
            if getattr(module, "shuffles", False):  # channel by channel, others would be compared
                channels = channels[:0]
                self.left_out.append(
                    f"{name} at {site.label} gives its channels back in another order, so only "
                    "where it looks is shown."
                )
            self.gates.append(AttentionMap(site.label, site.stage, name, channels, places))

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    def _watch_end(self, stage: int) -> list[Any]:
        """A hook on what leaves a stage, after that of an attention there; none if it is no map."""
        from ...spaces.backbones.trace import layout_of

        ends = [s for s in self.sites.sites if s.stage == stage and s.position in ("stage", "post")]
        end = next((s for s in ends if s.position == "stage"), ends[-1] if ends else None)
        if end is None:
            self.left_out.append(f"Stage s{stage} gives no single map: its energy is left out.")
            return []
        kind, path, *_ = end.anchor
        module, layout = self.model.get_submodule(path), layout_of(end.anchor)

        def seen(features: Tensor) -> None:
            self.stages.append(StageEnergy(stage, _energy(self.model, features, layout)))

        if kind == "out":
            return [module.register_forward_hook(lambda _, __, output: seen(output))]
        return [module.register_forward_pre_hook(lambda _, args: seen(args[0]))]


def main(arguments: Sequence[str]) -> int:
    """Answer a request: files of JSON from and to.

    The request has `architecture` (text), `recipe`, `weights` (path), and may have `pictures` and
    `seed`. The answer is that of `AttentionMaps.to_json`, or `error` with one sentence.
    """
    if len(arguments) != 2:
        print(
            "usage: python -m attentune.runners.inspection.attention_maps REQUEST.json RESULT.json",
            file=sys.stderr,
        )
        return UsageError.exit_code
    source, target = map(Path, arguments)
    try:
        answer = _answer(json.loads(source.read_text("utf-8")))
    except AttentuneError as error:
        answer = {"error": _line(error)}
    except Exception as error:  # whoever asked shows a sentence in any case
        answer = {"error": f"looking failed ({type(error).__name__}: {_line(error)})."}
    target.write_text(json.dumps(answer, allow_nan=False), "utf-8")
    return 1 if "error" in answer else 0


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    recipe, weights = Recipe.of(**asked["recipe"]), Path(asked["weights"])
    how = {name: asked[name] for name in ("pictures", "seed") if name in asked}
    return collect_attention_maps(parse(asked["architecture"]), recipe, weights, **how).to_json()


def _spread(labels: Labels, count: int, seed: int) -> Labels:
    """Numbers of pictures, drawn by seed: first one of every class, then a second one of each."""
    order = np.random.default_rng(seed).permutation(len(labels))
    earlier: Counter[int] = Counter()
    turns = []
    for number in order:
        turns.append(earlier[int(labels[number])])
        earlier[int(labels[number])] += 1
    return order[np.argsort(turns, kind="stable")][:count].astype(np.int64)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread inside: a look must not slow down a search on the same machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _sums(x: Tensor) -> tuple[Doubles, Doubles]:
    """Σ|x| of (N, C, H, W) over pictures and places (C,), and over channels (N, H, W)."""
    size = x.abs().double()
    return size.sum((0, 2, 3)).numpy(), size.sum(1).numpy()


def _ratio(returned: Doubles, given: Doubles) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(given > 0, returned / given, np.nan).astype(np.float32)


def _energy(model: nn.Module, features: Tensor, layout: Layout) -> Floats:
    """Mean |feature| over channels, (N, H, W), of a map in any layout."""
    from ...spaces.backbones.hiera import token_order
    from ...spaces.backbones.trace import NCHW, NLC

    means = features.abs().mean(1 if layout == NCHW else -1)
    if layout.startswith(NLC):  # (N, L)
        means = means[:, token_order(model, layout)]
    energy: Floats = means.float().numpy()
    return energy


def _plain(value: Any) -> Any:
    """A value in JSON's types."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        flat = [float(f"{v:.4g}") if np.isfinite(v) else None for v in value.ravel().tolist()]
        return np.array(flat, object).reshape(value.shape).tolist()
    if isinstance(value, np.ndarray):
        return _bytes(value) if value.dtype == np.uint8 else value.tolist()
    if isinstance(value, AttentionMap | StageEnergy):
        return {name: _plain(held) for name, held in vars(value).items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _arrays(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: _floats(v) if isinstance(v, list) else v for k, v in fields.items()}


def _floats(values: list[Any]) -> Floats:
    return np.array(values, np.float32)  # None becomes NaN


def _bytes(images: Images) -> dict[str, Any]:
    return {"shape": images.shape, "base64": base64.b64encode(images.tobytes()).decode()}


def _images(held: dict[str, Any]) -> Images:
    return np.frombuffer(base64.b64decode(held["base64"]), np.uint8).reshape(held["shape"])


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
