"""Retrieval by words, BM25 over inverted lists in core TensorFlow ops, and how it is fused with the vectors."""
