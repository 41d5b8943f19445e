"""The adversarial game; nothing here knows what is done with the weights, or how it is judged."""
