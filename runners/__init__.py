"""How one trial is run: recipe, data, training loop, costs, and the pools of workers."""
