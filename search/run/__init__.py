"""Running a study: proposals, the coordinator's loop, confirmation."""
