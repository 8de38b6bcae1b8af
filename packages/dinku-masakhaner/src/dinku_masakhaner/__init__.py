"""A tagger of ten African languages, in the folder ``model``; open it with ``dinku.open("dinku:masakhaner")``."""
