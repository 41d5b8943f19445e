"""What keeps a single patient out of whatever is learned."""

# Patients behind anything that is learned from values: a bin, an exact value, a category. With one
# or two it would be theirs to be recognized by; five is the smallest count that statistical offices
# and hospitals commonly let out in a table.
LEAST_PATIENTS = 5
