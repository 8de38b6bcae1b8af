"""How weights learn, and which of them matter."""
