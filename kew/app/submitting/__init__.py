"""The wing that submits: check and encode calls, and send them together."""
