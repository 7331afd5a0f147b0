"""How one trial is run: recipe, data, training loop, costs, and worker pools."""
