"""Users' attentions are tried in a process of their own before an architecture with one is run."""
