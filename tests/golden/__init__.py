"""What versions of kew stored in Redis, as test data."""
