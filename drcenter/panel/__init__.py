"""What the pages of the panel are made of: records, acts with confirmation, options of plugins."""
