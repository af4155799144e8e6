"""The search of a config's ranges."""
