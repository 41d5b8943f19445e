"""Synthetic patients with a guarantee: noise on everything that looks at a patient."""
