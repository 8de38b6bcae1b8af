"""Sentences and text: found, fetched, read, checked, perturbed."""
