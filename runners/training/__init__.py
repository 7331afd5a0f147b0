"""The training of one trial: task, batches, steps, optimizer, evaluation, checkpoints."""
