"""Where the files of trials are: a folder, or a URL of object storage; imports no torch."""
