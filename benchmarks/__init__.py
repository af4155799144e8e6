"""Figures, measured by hand: each command prints one JSON object as its last line."""

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
