"""The systems: each a pair of towers under one objective."""
