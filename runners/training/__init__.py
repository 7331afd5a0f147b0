"""The training of one trial: task, steps, augmentation, optimizer, evaluation, checkpoints."""
