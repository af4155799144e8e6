"""The whole life of the product at once: days, versions, clients and faults. `python -m benchmarks.soak`."""
