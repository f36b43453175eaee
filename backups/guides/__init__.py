"""What a person gets into the hand: the kit, the guide and the script of a set."""
