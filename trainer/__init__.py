"""Towers, losses, training and evaluation on the records that `preprocessing` writes."""

import preprocessing  # noqa: F401 (sets up TensorFlow's environment, whichever module here is imported first)
