"""The embedded store: a shell with indexes around the domain's decisions, inside one process."""
