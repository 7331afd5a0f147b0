"""What can be built: attentions, insertion points, architecture text, search spaces, networks."""
