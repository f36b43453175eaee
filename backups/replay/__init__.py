"""Going back to a point in time: a set as the base, and the server's log replayed onto it, up to a moment or a position."""
