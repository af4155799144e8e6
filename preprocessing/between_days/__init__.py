"""How a day's records differ from those of the day before."""
