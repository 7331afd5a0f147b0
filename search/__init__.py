"""What to try next: proposals, the coordinator's loop, and the command line that ties it all."""
