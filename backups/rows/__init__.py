"""Rows and tables as of a date: compared with production, chosen, put back, undone."""
