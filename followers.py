"""Log studies to TensorBoard, MLflow and Weights & Biases.

    from attentune.followers import TensorBoard

    attentune.search("mine", backbone="resnet18", data="photos", callbacks=[TensorBoard("runs")])

`follow("mine", "mlflow")` logs a study after the fact. Each tool is an optional extra, for example
`pip install 'attentune[tensorboard]'`.
"""

from __future__ import annotations

from .search.run.followers import MLflow, TensorBoard, WandB, follow

__all__ = ["MLflow", "TensorBoard", "WandB", "follow"]
