"""The page of `--ui`: what a query brings up for a user, and why."""
