"""torch → ONNX → int8 → bundle, behind a gate."""
