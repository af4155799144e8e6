"""Towers, losses, training and evaluation on the records that `preprocessing` writes."""

import preprocessing  # noqa: F401 (sets TensorFlow's environment before anything here imports it)
