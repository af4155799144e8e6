"""Published formats read as our raw streams, one adapter a module; `python -m preprocessing.adapt` runs them."""
