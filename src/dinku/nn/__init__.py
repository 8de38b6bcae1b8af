"""A tagger in torch: opened, cut, run, saved."""
