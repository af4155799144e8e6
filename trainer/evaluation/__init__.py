"""Full-catalogue evaluation: what is retrieved, measured exactly, with intervals."""
