"""Jobs that behave in one particular way each, for tests with real workers."""
