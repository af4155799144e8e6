"""The parts that towers are made of."""
