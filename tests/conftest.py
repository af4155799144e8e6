"""TensorFlow's environment is set before any test imports it."""

import preprocessing  # noqa: F401
