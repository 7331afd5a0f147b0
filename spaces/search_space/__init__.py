"""The set of architectures that a study searches, in general and bound to one backbone."""
