"""The HTML report of a trained or tested classifier: one file that needs nothing else."""
