"""Private servers that this product starts from the installed binaries, and stops again."""
