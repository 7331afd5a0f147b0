"""Attention mechanisms: one mechanism a file, a catalogue of them, and a registry of names.

Each mechanism's file states the paper, its arXiv number, the formula, and where the authors' code
differs. Its class is called with the channels C and the options of the catalogue, `r` being passed
as `reduction_ratio`, and maps (N, C, H, W) to the same shape. Listing attentions imports no torch.
"""
