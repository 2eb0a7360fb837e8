"""Seeds, tallies, files, worker processes, Ray's address: what everything may use. Knows nothing but `errors`."""
