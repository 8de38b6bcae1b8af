"""From data and a base to one tagger: trained, and compressed to a budget."""
