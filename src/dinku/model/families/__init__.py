"""Families of encoders, one a file: each has a ``FAMILY``."""
