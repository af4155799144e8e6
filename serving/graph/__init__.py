"""What is saved and served: every signature in core TensorFlow ops."""
