"""The nearest-neighbour indexes, all behind `serving.index.base.Index`."""
