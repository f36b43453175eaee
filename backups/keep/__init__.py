"""What stays and what goes: retention, pins, pruning, sweeping."""
