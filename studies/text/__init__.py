"""Numbers, architectures and conclusions in words, the same on every surface."""
