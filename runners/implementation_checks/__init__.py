"""Compare somebody's implementation of an attention with its paper's."""
