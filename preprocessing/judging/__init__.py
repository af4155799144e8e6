"""Graded judgments from clicks: counted on Beam, freed of the place on the page, written for those who read them."""
