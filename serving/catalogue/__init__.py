"""A catalogue on its way into a version."""
