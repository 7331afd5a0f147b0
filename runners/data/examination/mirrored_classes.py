"""Find classes that are each other's mirror image, such as signs to the left and to the right.

Mirroring such images in training gives them the wrong label. Every two classes are told apart by
simple classifiers, which judge images that they were not fitted to. Two classes are each other's
mirror image if a classifier tells them apart that is fitted as if mirroring exchanged them, and

- a classifier that is fitted as if mirroring kept the class of an image hardly does, or
- a classifier that is fitted to the images as they are takes the mirror images of each class for
  the other one. (Images that are not quite centred can be told from mirror images by that alone.)

The classifiers are ridge regressions on the responses of filters that are random patches of the
images (Coates and Ng, "Learning feature representations with k-means", 2012). For every patch, its
mirror image is a filter too, so the features of a mirrored image are those of the image in another
order. If k(x, y) is the product of the features of two images and m(x) a mirror image, a classifier
that exchanges has the kernel k(x, y) - k(m(x), y), and one that keeps k(x, y) + k(m(x), y).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.stats import norm

from ..dataset import Images, Labels, Rows, to_rgb

MAX_IMAGES = 1600
"""Images that are used, equally many of each class where possible."""
MIN_IMAGES_OF_CLASS = 6
THUMBNAIL_SIDE = 24
PATCH_SIDE = 6
FILTERS = 128
"""Half of them are mirror images of the others."""
GRID_SIDE = 3
FOLDS = 4
PENALTY = 0.1
"""Of the ridge regression, as a multiple of the mean product of an image with itself."""
FALSE_ALARMS = 1e-3
"""Probability with which any classifier that guesses would be taken for one that does not."""
MIN_SHARE = 0.65
"""Of the images of two classes that a classifier judges correctly, if it tells them apart."""
MAX_CLASSES_FOR_ALL_PAIRS = 50
_IMAGES_AT_ONCE = 100

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MirroredClasses:
    """Two classes that are each other's mirror image.

    Attributes:
        first, second: their numbers.
        images: how many images of both were judged.
        exchanged: how many of these are judged correctly as if mirroring exchanged the classes.
    """

    first: int
    second: int
    images: int
    exchanged: int


def find_mirrored_classes(
    images: Images, labels: Labels, num_classes: int
) -> tuple[MirroredClasses, ...]:
    """The pairs of classes that are each other's mirror image; usually none.

    Args:
        images: of the training split, uint8 (N, H, W, C), of which three channels at most are used.
        labels: (N,).
        num_classes: number of classes.
    """
    rng = np.random.default_rng(0)
    rows = _sample(labels, num_classes, rng)
    labels = labels[rows]
    if len(np.unique(labels)) < 2:
        return ()
    features, mirrored = _features(_thumbnails(images, rows), rng)
    kernels = _Kernels(features @ features.T, mirrored @ features.T)
    fold = rng.permutation(len(labels)) % FOLDS
    pairs = _candidates(kernels, labels)
    deviations = float(norm.isf(FALSE_ALARMS / max(1, len(pairs))))
    result = []
    for first, second in pairs:
        members = np.flatnonzero((labels == first) | (labels == second))
        contest = _Contest(kernels.of(members), labels[members] == first, fold[members])
        if contest.is_exchanged_by_mirroring(deviations):
            correct = int(contest.as_if_exchanged().sum())
            result.append(MirroredClasses(first, second, len(members), correct))
    return tuple(result)


@dataclass(frozen=True)
class _Kernels:
    """Products (n, n) of the features of images: with those of the others, and mirrored first."""

    plain: Floats
    mirrored: Floats

    def of(self, members: Rows) -> _Kernels:
        chosen = np.ix_(members, members)
        return _Kernels(self.plain[chosen], self.mirrored[chosen])


@dataclass(frozen=True)
class _Contest:
    """Classifiers that tell two classes apart.

    Attributes:
        kernels: of the images of both classes, n.
        is_first: whether they are of the first class, (n,).
        fold: the part of the images that each belongs to, (n,).
    """

    kernels: _Kernels
    is_first: Flags
    fold: Rows

    def is_exchanged_by_mirroring(self, deviations: float) -> bool:
        """Whether the classes are each other's mirror image.

        Args:
            deviations: standard deviations by which chance must be exceeded.
        """
        exchanged = self.as_if_exchanged()
        if not self._tells_apart(exchanged, deviations):
            return False
        images, mirror_images = self._as_they_are()
        if self._tells_apart(images & ~mirror_images, deviations):
            return True
        kept = self._as_if_kept()
        gained, lost = int((exchanged & ~kept).sum()), int((kept & ~exchanged).sum())
        is_worse = gained - lost > deviations * np.sqrt(gained + lost)
        return bool(is_worse and self._share(kept) - 0.5 <= (self._share(exchanged) - 0.5) / 2)

    def as_if_exchanged(self) -> Flags:
        """Which images are judged correctly as if mirroring exchanged the classes."""
        kernel = self.kernels.plain - self.kernels.mirrored
        return self._is_correct(*self._held_out_scores(kernel, kernel))[0]

    def _as_if_kept(self) -> Flags:
        kernel = self.kernels.plain + self.kernels.mirrored
        kernel = kernel + np.trace(kernel) / len(kernel)  # This makes a constant of the model.
        return self._is_correct(*self._held_out_scores(kernel, kernel))[0]

    def _as_they_are(self) -> tuple[Flags, Flags]:
        """Which images, and which mirror images, are judged to be of the class of the image."""
        plain, mirrored = self.kernels.plain, self.kernels.mirrored
        constant = np.trace(plain) / len(plain)
        return self._is_correct(*self._held_out_scores(plain + constant, mirrored + constant))

    def _is_correct(self, *scores: Doubles) -> tuple[Flags, Flags]:
        plain, mirrored = ((each > 0) == self.is_first for each in scores)
        return plain, mirrored

    def _held_out_scores(self, kernel: Floats, mirrored: Floats) -> tuple[Doubles, Doubles]:
        """Scores (n,) of images and mirror images by models of the other folds."""
        targets = np.where(self.is_first, 1.0, -1.0)
        # Both classes count equally, whatever their numbers of images are.
        weights = 0.5 / np.where(self.is_first, self.is_first.mean(), 1 - self.is_first.mean())
        penalty = PENALTY * np.trace(kernel) / len(kernel)
        scores, mirrored_scores = np.zeros(len(targets)), np.zeros(len(targets))
        for number in range(FOLDS):
            rest = np.flatnonzero(self.fold != number)
            held_out = np.flatnonzero(self.fold == number)
            system = kernel[np.ix_(rest, rest)] + np.diag(penalty / weights[rest])
            solution = np.linalg.solve(system, targets[rest])
            scores[held_out] = kernel[np.ix_(held_out, rest)] @ solution
            mirrored_scores[held_out] = mirrored[np.ix_(held_out, rest)] @ solution
        return scores, mirrored_scores

    def _tells_apart(self, is_correct: Flags, deviations: float) -> bool:
        """Whether a classifier is right for both classes, and far more often than by guessing."""
        shares = is_correct[self.is_first].mean(), is_correct[~self.is_first].mean()
        surplus = is_correct.sum() - len(is_correct) / 2
        is_significant = surplus > deviations * np.sqrt(len(is_correct)) / 2
        return bool(min(shares) > 0.5 and np.mean(shares) >= MIN_SHARE and is_significant)

    def _share(self, is_correct: Flags) -> float:
        """The mean share of both classes."""
        return float((is_correct[self.is_first].mean() + is_correct[~self.is_first].mean()) / 2)


def _sample(labels: Labels, num_classes: int, rng: np.random.Generator) -> Rows:
    """Rows of images, at most `MAX_IMAGES`, of the classes with enough images."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels, minlength=num_classes)
    of_class = np.split(order, np.cumsum(counts)[:-1])
    usable = [rows for rows in of_class if len(rows) >= MIN_IMAGES_OF_CLASS]
    most = max(MIN_IMAGES_OF_CLASS, MAX_IMAGES // max(1, len(usable)))
    empty = np.zeros(0, np.int64)
    return np.sort(np.concatenate([empty, *(rows[:most] for rows in usable)]))


def _thumbnails(images: Images, rows: Rows) -> Floats:
    """The images, float32 (n, side, side, 3), from 0 to 1."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnails = np.empty((len(rows), *side, 3), np.float32)
    for thumbnail, row in zip(thumbnails, rows, strict=True):
        resized = Image.fromarray(to_rgb(images[row])).resize(side, Image.Resampling.BOX)
        thumbnail[:] = np.asarray(resized)
    return thumbnails / np.float32(255)


def _features(thumbnails: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Standardised features (n, f) of the images and of their mirror images."""
    whiten, filters = _draw_filters(thumbnails, rng)
    parts = [
        _pool(_normalised_patches(thumbnails[first : first + _IMAGES_AT_ONCE]), whiten @ filters)
        for first in range(0, len(thumbnails), _IMAGES_AT_ONCE)
    ]
    pooled, strongest = (np.concatenate(block) for block in zip(*parts, strict=True))
    blocks = []
    for block in (pooled, strongest[:, None, None]):
        # Mirroring exchanges the columns of the grid, and each filter with its mirror image.
        mirrored = np.roll(block[:, :, ::-1], FILTERS // 2, axis=3)
        both = np.concatenate((block, mirrored)).reshape(2 * len(block), -1)
        both = (both - both.mean(0)) / (both.std(0) + 1e-6)
        blocks.append(both / np.sqrt(both.shape[1]))
    features = np.concatenate(blocks, axis=1)
    return features[: len(thumbnails)], features[len(thumbnails) :]


def _normalised_patches(thumbnails: Floats) -> Floats:
    """All patches of the images, (n, rows, columns, values), each with a mean of 0 and a size."""
    side = (PATCH_SIDE, PATCH_SIDE)
    windows = np.lib.stride_tricks.sliding_window_view(thumbnails, side, axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)
    patches = patches - patches.mean(3, keepdims=True)
    patches /= np.sqrt(patches.var(3, keepdims=True) + np.float32(1e-3))
    return np.asarray(patches)


def _draw_filters(thumbnails: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """What whitens a patch, (v, v), and whitened filters (v, FILTERS)."""
    chosen = rng.choice(len(thumbnails), min(len(thumbnails), 2 * _IMAGES_AT_ONCE), replace=False)
    patches = _normalised_patches(thumbnails[chosen]).reshape(-1, 3 * PATCH_SIDE**2)
    drawn = patches[rng.choice(len(patches), FILTERS // 2)]
    mirrored = drawn.reshape(-1, PATCH_SIDE, PATCH_SIDE, 3)[:, :, ::-1].reshape(drawn.shape)
    covariance = patches.T @ patches / len(patches)
    values, vectors = np.linalg.eigh(covariance)
    # Symmetric under mirroring, as the filters are, only if the statistics are.
    whiten = (vectors / np.sqrt(np.maximum(values, 0) + 0.1)) @ vectors.T
    flipped = np.arange(len(covariance)).reshape(PATCH_SIDE, PATCH_SIDE, 3)[:, ::-1].ravel()
    whiten = (whiten + whiten[np.ix_(flipped, flipped)]) / 2
    filters = np.concatenate((drawn, mirrored)) @ whiten
    filters /= np.linalg.norm(filters, axis=1, keepdims=True) + 1e-6
    return whiten.astype(np.float32), filters.T.astype(np.float32)


def _pool(patches: Floats, filters: Floats) -> tuple[Floats, Floats]:
    """Activations of the filters: means in each cell of a grid, and the strongest anywhere.

    Shapes are (n, rows, columns, filters) and (n, filters).
    """
    activations = patches @ filters
    strongest = activations.max((1, 2))
    activations = np.maximum(activations - activations.mean(3, keepdims=True), 0)
    bounds = np.linspace(0, activations.shape[1], GRID_SIDE + 1).round().astype(int)
    cells = list(itertools.pairwise(bounds))
    grid = [
        [activations[:, top:bottom, left:right].mean((1, 2)) for left, right in cells]
        for top, bottom in cells
    ]
    return np.stack([np.stack(row, 1) for row in grid], 1), strongest


def _candidates(kernels: _Kernels, labels: Labels) -> list[tuple[int, int]]:
    """The pairs of classes to compare: all, or of many classes each with the most similar one."""
    classes = np.unique(labels)
    if len(classes) <= MAX_CLASSES_FOR_ALL_PAIRS:
        return list(itertools.combinations(classes.tolist(), 2))
    members = (labels == classes[:, None]).astype(np.float32)
    members /= members.sum(1, keepdims=True)
    means = members @ (kernels.plain + kernels.mirrored) @ members.T
    sizes = np.diag(means)
    distances = sizes[:, None] + sizes - 2 * means
    np.fill_diagonal(distances, np.inf)
    nearest = zip(classes.tolist(), classes[distances.argmin(1)].tolist(), strict=True)
    return sorted({(min(pair), max(pair)) for pair in nearest})
