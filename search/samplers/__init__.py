"""Samplers propose the next architecture: one file for each, behind one interface (`base`)."""
