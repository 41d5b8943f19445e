"""The adversarial game: losses, networks, recipe, monitor, training."""
