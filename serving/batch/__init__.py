"""Batch jobs on Apache Beam: a catalogue to vectors, queries to their best items, by the served model."""

import warnings

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
import serving.runtime  # noqa: F401 (and the one that its server needs: workers, too, call a model from several threads)

# Beam's estimate of the best batch size divides by zero where all batches were of one size.
warnings.filterwarnings("ignore", module="apache_beam.transforms.util")
