"""What is concluded from recorded trials: means, gains, effects, confirmation, hypervolume."""
