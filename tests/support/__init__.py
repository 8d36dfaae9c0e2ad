"""What tests share that is neither a test nor part of kew."""
