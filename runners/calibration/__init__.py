"""What is measured before a search: precision, learning rate, workers per GPU."""
