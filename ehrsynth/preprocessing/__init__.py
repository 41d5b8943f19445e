"""From a patient table to the matrix a GAN learns, and back."""
