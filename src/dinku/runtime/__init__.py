"""Engines that answer logits for a batch. Each is imported only where it is used."""
