"""The wing that works: claim tasks, run them, and report how they ended."""
