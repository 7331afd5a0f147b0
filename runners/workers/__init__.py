"""Where trials run: the pool of worker processes, and what a worker does with a job."""
