"""Looking into a trained network and into an installation."""
