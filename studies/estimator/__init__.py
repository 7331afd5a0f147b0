"""The statistical model of a study that proposes architectures and prunes trials."""
