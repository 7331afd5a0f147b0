"""Files in folders and archives: which there are, what they are called, and their content."""
