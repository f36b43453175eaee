"""Drills: the code of real recoveries, on scratch servers, measured, and kept as evidence."""
