"""The data folder: what it holds, how it is written and read."""
