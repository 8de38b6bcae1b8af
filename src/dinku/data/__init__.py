"""Sentences and text: found, fetched, read, checked, made worse."""
