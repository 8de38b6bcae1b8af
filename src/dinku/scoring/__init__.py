"""Tags against tags: counts, intervals, tests, kinds of errors."""
