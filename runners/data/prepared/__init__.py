"""Prepared data: splits, decoded images in the cache, and the record that a study keeps of them."""
