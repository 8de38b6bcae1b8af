"""How weights are trained, and which of them matter."""
