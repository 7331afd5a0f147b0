"""Where trials run: pools of workers, and the evaluators with which a worker runs a job."""
