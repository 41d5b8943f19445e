"""The adversarial game: losses, networks, recipe, monitor, checkpoint, training.

Nothing here knows what is done with the weights after training, or how patients are judged.
"""
