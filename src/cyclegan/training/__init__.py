"""Training: a pure step, its state on disk, and the loop around it."""
