"""Raw search logs to TFRecords and vocabularies, on Apache Beam."""

import logging
import os

# TFRS needs Keras 2; every package of the project imports this one before TensorFlow, so it is set here alone.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# TensorFlow's start-up notes say nothing to a user of the commands; its errors come as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Beam warns at import of a Google client that only its BigQuery transforms need.
logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())
