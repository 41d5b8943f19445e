"""The simulated hospital, whose truth is known."""
