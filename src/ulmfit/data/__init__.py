"""Text in, ids out: data sets, splits, tokenizers, vocabularies, corpora and batches."""
