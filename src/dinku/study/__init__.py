"""What was asked, carried out, measured."""
