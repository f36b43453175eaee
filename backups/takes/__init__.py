"""Taking a set, from the checks before to the proof."""
