"""Words as a retrieval channel, and how its answers and the vectors' become one list."""
