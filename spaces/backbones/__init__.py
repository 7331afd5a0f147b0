"""What a timm backbone consists of: stages, blocks, and sites where attention can be inserted."""
