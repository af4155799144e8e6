"""Raw lines to records."""
