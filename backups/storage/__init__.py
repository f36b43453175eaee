"""What a set is in storage: names, manifest, digests, signatures, and what is learned of it later."""
