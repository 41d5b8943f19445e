"""One table of patients from a file."""
