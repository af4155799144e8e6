"""Everything on a simulated market, from raw logs to answers, as `make demo` runs it."""
