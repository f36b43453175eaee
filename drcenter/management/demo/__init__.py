"""The demonstration: sample systems, and the story that it tells with them."""
