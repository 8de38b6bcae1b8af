"""Text in, entities out: files, HTTP, side by side."""
