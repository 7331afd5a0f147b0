"""From a request to the configuration of a study."""
