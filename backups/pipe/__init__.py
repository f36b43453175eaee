"""The pipeline of bytes, out and back, and what it is made of."""
