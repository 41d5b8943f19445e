"""From a trained generator to patients that hang together as train's do, and keep the rules."""
