"""One training loop for every stage, with its evaluation, checkpoints and progress."""
