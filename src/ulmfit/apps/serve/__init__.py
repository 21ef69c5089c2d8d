"""A classifier behind HTTP: predictions, explanations, metrics, and a page to try it on."""
