"""Learning rates over time and depth, unfreezing plans, optimisers."""
