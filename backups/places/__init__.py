"""Copies at their destinations: made up for, locked, tried, and whether they are enough."""
