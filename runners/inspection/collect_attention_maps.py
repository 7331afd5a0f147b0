"""Run a trial's network on validation images and record what its attentions do to their maps.

    python -m attentune.runners.inspection.collect_attention_maps REQUEST.json RESULT.json

does this in a separate process, for programs that must not import torch.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...errors import AttentuneError, DamagedFileError, UsageError
from ...spaces.architecture import Architecture, parse
from ...spaces.backbones.discover import find_sites
from ...spaces.backbones.hiera import token_order
from ...spaces.backbones.trace import NCHW, NLC, Layout, layout_of
from ...spaces.networks.attended_module import unwrapped
from ...spaces.networks.build import build_network, insert_all
from ...spaces.networks.feature_extractor import ModuleLocator
from ...spaces.networks.placement import Placement, placements
from ..data import load_data
from ..data.dataset import Labels
from ..devices import torch_threads
from ..recipe import Recipe
from ..training import checkpoint
from ..training.optimizer import group_parameters, make_optimizer
from ..training.tensor_file import read_tensors
from ..training.train import state_tensors
from ..training.weight_average import WeightAverage, flatten_state
from .attention_maps import AttentionMap, AttentionMaps, Floats, StageEnergy

Doubles = npt.NDArray[np.float64]

MAX_IMAGES = 64
"""Maximum number of images; they pass through the network in one batch."""


def collect_attention_maps(
    architecture: Architecture,
    recipe: Recipe,
    weights: Path,
    *,
    num_images: int = 8,
    seed: int = 0,
    data_key: str | None = None,
) -> AttentionMaps:
    """Compute the attention maps of a trial's network, on one CPU thread and in float32.

    The choice of images depends on the data and `seed` alone, so that it is the same for all
    networks. They cover as many classes as possible.

    Args:
        architecture: what the trial trained.
        recipe: how it was trained; chooses the data, the image size and the stem.
        weights: the file of the trial's final weights, or a checkpoint.
        num_images: how many validation images, 1 to `MAX_IMAGES`; the whole split if it has fewer.
        seed: chooses the images.
        data_key: of the images that it was trained on; None if they were not recorded.

    Raises:
        UsageError: `num_images` is out of range.
        AttentuneError: the weights do not fit the architecture; also as `build_network` and
            `load_data`.
    """
    if not 1 <= num_images <= MAX_IMAGES:
        raise UsageError(
            f"attention maps are computed for 1 to {MAX_IMAGES} images at a time, not {num_images}"
        )
    data = load_data(recipe, key=data_key)
    chosen = _choose_images(data.val.labels, num_images, seed)
    images = np.array(data.val.images[chosen])
    normalised = (images / 255 - np.array(data.mean)) / np.array(data.std)
    # One thread, so that a search on the same machine is not slowed down.
    with torch_threads(1):
        recorder = _MapRecorder(architecture, recipe, len(data.classes))
        epochs = recorder.load_weights(weights)
        probabilities = recorder.record(normalised.astype(np.float32))
    predicted = probabilities.argmax(1)
    return AttentionMaps(
        architecture=str(architecture),
        epochs=epochs,
        classes=data.classes,
        images=images,
        indices=chosen,
        labels=np.array(data.val.labels[chosen]),
        predicted=predicted,
        probabilities=probabilities[np.arange(len(chosen)), predicted],
        attentions=tuple(recorder.attentions),
        stages=tuple(recorder.stages),
        left_out=tuple(recorder.left_out),
    )


class _MapRecorder:
    """A trial's network on the CPU, and the maps that its forward pass has recorded."""

    def __init__(self, architecture: Architecture, recipe: Recipe, num_classes: int) -> None:
        self.architecture, self.recipe = architecture, recipe
        self.attentions: list[AttentionMap] = []
        self.stages: list[StageEnergy] = []
        self.left_out: list[str] = []
        self.sites = find_sites(
            architecture.backbone,
            image_size=recipe.image_size,
            stem=recipe.stem,
        )
        plain = Architecture(architecture.backbone, (), architecture.removed)
        self.model = build_network(
            plain,
            num_classes=num_classes,
            image_size=recipe.image_size,
            stem=recipe.stem,
            in_chans=recipe.in_chans,
            seed=0,
        )
        self.inserted = insert_all(
            self.model,
            ModuleLocator(self.model, plain.backbone),
            placements(architecture, self.sites),
            seed=0,
        )
        self.model.eval()
        if recipe.channels_last:
            # A checkpoint holds tensors in the memory format in which they were trained.
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def load_weights(self, weights: Path) -> int | None:
        """Load final weights or a checkpoint; returns the epochs trained if it is a checkpoint."""
        model, recipe = self.model, self.recipe
        try:
            facts = checkpoint.read_facts(weights)
            if facts is None:
                model.load_state_dict(read_tensors(weights))
                return None
            optimizer = make_optimizer(group_parameters(model), recipe)
            average = None
            if recipe.ema:
                average = WeightAverage(flatten_state(model, optimizer.slices), recipe.ema)
            # Both raise an error for a checkpoint of another network.
            optimizer.allocate_state(facts["optimizer"])
            checkpoint.load(weights, state_tensors(model, optimizer, average))
            if average:
                average.swap()  # The averaged weights are those that are evaluated and kept.
            return int(facts["epoch"])
        except (OSError, RuntimeError, KeyError, DamagedFileError) as error:
            raise AttentuneError(
                f"the weights in {weights} do not fit {self.architecture} "
                f"({_first_line(error)}); choose another trial."
            ) from error

    def record(self, images: Floats) -> Floats:
        """Run the network once and record the maps.

        Args:
            images: (N, H, W, C), normalised.

        Returns:
            The probabilities (N, classes), computed as in a trial's evaluation: averaged with those
            of the mirror images if the recipe has `mirror`.
        """
        batch = torch.from_numpy(images).permute(0, 3, 1, 2)
        hooks = []
        for attention in self.inserted.attentions:
            module = self.model.get_submodule(attention.module)
            hooks += self._hook_attention(attention.placement, module)
        hooks += [hook for stage in self.sites.blocks for hook in self._hook_stage_output(stage)]
        with torch.no_grad():
            logits = self.model(batch)
            for hook in hooks:
                hook.remove()
            if self.recipe.mirror:
                logits = (logits + self.model(batch.flip(3))) / 2
        probabilities: Floats = logits.softmax(1).numpy()
        return probabilities

    def _hook_attention(self, placement: Placement, module: nn.Module) -> list[RemovableHandle]:
        """Hooks that record one attention.

        They reduce the maps at once, because later layers may change a map in place.
        """
        site, name = placement.site, placement.insertion.attention
        input_sums: list[tuple[Doubles, Doubles]] = []

        def before(_: nn.Module, args: tuple[Any, ...]) -> None:
            input_sums[:] = [_absolute_sums(args[0])]

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if getattr(output, "shape", None) != args[0].shape:
                self.left_out.append(
                    f"{name} at {site.label} changes the shape of its map and is left out."
                )
                return
            channels, locations = map(_ratio, _absolute_sums(output), input_sums.pop())
            if getattr(module, "shuffles", False):
                # The ratio of a channel would compare unrelated channels.
                channels = channels[:0]
                self.left_out.append(
                    f"{name} at {site.label} returns its channels in another order, so only its "
                    "locations are shown."
                )
            self.attentions.append(AttentionMap(site.label, site.stage, name, channels, locations))

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    def _hook_stage_output(self, stage: int) -> list[RemovableHandle]:
        """A hook on the output of a stage, after an attention there; none if it is not a map."""
        ends = [s for s in self.sites.sites if s.stage == stage and s.position in ("stage", "post")]
        end = next((s for s in ends if s.position == "stage"), ends[-1] if ends else None)
        if end is None:
            self.left_out.append(f"Stage s{stage} returns no single map: its energy is left out.")
            return []
        kind, path, *_ = end.anchor
        module, layout = self.model.get_submodule(path), layout_of(end.anchor)

        def record_energy(features: Tensor) -> None:
            self.stages.append(StageEnergy(stage, _energy(self.model, features, layout)))

        if kind == "out":
            return [module.register_forward_hook(lambda _, __, output: record_energy(output))]
        module = unwrapped(module)  # Its input, after an attention there.
        return [module.register_forward_pre_hook(lambda _, args: record_energy(args[0]))]


def _choose_images(labels: Labels, count: int, seed: int) -> Labels:
    """Numbers of images, drawn by seed: first one of every class, then a second one of each."""
    order = np.random.default_rng(seed).permutation(len(labels))
    drawn: Counter[int] = Counter()
    rounds = []
    for index in order:
        rounds.append(drawn[int(labels[index])])
        drawn[int(labels[index])] += 1
    return order[np.argsort(rounds, kind="stable")][:count].astype(np.int64)


def _absolute_sums(x: Tensor) -> tuple[Doubles, Doubles]:
    """Σ|x| of (N, C, H, W) over images and locations (C,), and over channels (N, H, W)."""
    absolute = x.abs().double()
    return absolute.sum((0, 2, 3)).numpy(), absolute.sum(1).numpy()


def _ratio(output_sum: Doubles, input_sum: Doubles) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(input_sum > 0, output_sum / input_sum, np.nan).astype(np.float32)


def _energy(model: nn.Module, features: Tensor, layout: Layout) -> Floats:
    """Mean |feature| over channels, (N, H, W), of a map in any layout."""
    means = features.abs().mean(1 if layout == NCHW else -1)
    if layout.startswith(NLC):  # (N, L)
        means = means[:, token_order(model, layout)]
    energy: Floats = means.float().numpy()
    return energy


def main(arguments: Sequence[str]) -> int:
    """Compute the attention maps that a JSON file requests, and write them to another.

    The request has `architecture` (text), `recipe` and `weights` (path), and may have
    `num_images`, `seed` and `data_key`. The result is that of `AttentionMaps.to_json`, or `error`
    with one sentence.

    Args:
        arguments: the paths of the request and of the result.
    """
    if len(arguments) != 2:
        print(
            "usage: python -m attentune.runners.inspection.collect_attention_maps "
            "REQUEST.json RESULT.json",
            file=sys.stderr,
        )
        return UsageError.exit_code
    request, result = map(Path, arguments)
    try:
        content = _respond(json.loads(request.read_text("utf-8")))
    except AttentuneError as error:
        content = {"error": _first_line(error)}
    except Exception as error:  # The calling process shows the sentence to the user.
        reason = f"{type(error).__name__}: {_first_line(error)}"
        content = {"error": f"the attention maps could not be computed ({reason})."}
    result.write_text(json.dumps(content, allow_nan=False), "utf-8")
    return 1 if "error" in content else 0


def _respond(request: dict[str, Any]) -> dict[str, Any]:
    recipe, weights = Recipe.of(**request["recipe"]), Path(request["weights"])
    names = ("num_images", "seed", "data_key")
    options = {name: request[name] for name in names if name in request}
    architecture = parse(request["architecture"])
    return collect_attention_maps(architecture, recipe, weights, **options).to_json()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
