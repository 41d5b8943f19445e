"""From a trained generator to patients.

From the ground up: draw (values spread evenly), calibration (prevalences), tabulate (what is
counted in train), pairs (of columns), counts (of diagnoses), decode (a table that keeps the
clinical rules).
"""
