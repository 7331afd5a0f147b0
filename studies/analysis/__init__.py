"""The analysis of recorded trials: means, gains, effects, confirmation, hypervolume."""
