"""The checklist after a restore over production: what the product can measure it ticks, the rest is a person's."""
