"""Training on Vertex AI: the job, its machines, its search, and following it."""
