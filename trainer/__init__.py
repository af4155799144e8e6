"""Towers, losses, training and evaluation on the records that `preprocessing` writes."""
