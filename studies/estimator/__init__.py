"""The model of additive effects that proposes architectures and prunes trials."""
