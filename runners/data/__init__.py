"""Where pictures come from: embedded digits, class folders, archives, timm's data set names.

    inspect_data(spec)      a look: classes, typical size, a sensible image size
    prepare_data(recipe)    decode and split once, into a uint8 cache; the coordinator does this
    open_data(info)         map prepared data into memory, in milliseconds; workers do this
    load_data(recipe)       prepare, then open

No torch here: numpy, Pillow, and scikit-learn or timm only when a source needs them.
"""

from .cache import inspect_data, load_data, open_data, prepare_data
from .dataset import DataInfo, Dataset, SourceInfo, Split
from .prepare import Progress

__all__ = [
    "DataInfo",
    "Dataset",
    "Progress",
    "SourceInfo",
    "Split",
    "inspect_data",
    "load_data",
    "open_data",
    "prepare_data",
]
