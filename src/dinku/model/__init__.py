"""What a model is, costs and answers, without torch."""
