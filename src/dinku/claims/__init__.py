"""Comparisons of rows, and the paper's claims as predicates over them."""
