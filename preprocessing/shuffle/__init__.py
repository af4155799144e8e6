"""What moves between workers: records in batches, keyed coarsely and split into partitions where they arrive."""
