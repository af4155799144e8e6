"""The job folder: what was trained, and its towers in their served form."""
