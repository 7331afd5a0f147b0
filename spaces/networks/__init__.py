"""From an architecture to a network: canonical form, placement, insertion, building."""
