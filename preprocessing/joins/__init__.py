"""Records joined by user and by item into examples."""
