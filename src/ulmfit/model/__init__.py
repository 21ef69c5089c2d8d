"""The networks: AWD-LSTM encoder, language model, pooling classifier."""
