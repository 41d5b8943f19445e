"""From a trained generator to patients."""
