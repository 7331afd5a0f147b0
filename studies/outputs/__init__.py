"""What leaves a study: the report, the exported model, attention maps."""
