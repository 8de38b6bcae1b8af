"""Files that other tools write: one file a format, and the table that lists them."""
