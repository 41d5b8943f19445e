"""What holds for every patient, beyond yes and no: states of columns, formulas, and their rules."""
