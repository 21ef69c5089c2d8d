"""AWD-LSTM, its language model and its classifier: one paper concept per file."""
