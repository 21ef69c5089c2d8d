"""What people use: the estimator, the shipped language models, export, serving, reports."""
