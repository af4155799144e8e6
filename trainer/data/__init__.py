"""The data folder as training reads it."""
