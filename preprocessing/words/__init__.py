"""Retrieval by words: BM25 over inverted lists, in core TensorFlow ops."""
