"""A simulated marketplace: items, users, an engine, and what users do with what it shows."""
