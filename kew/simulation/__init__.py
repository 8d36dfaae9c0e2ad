"""A deterministic world to run kew in: one seed decides everything that happens.

The real services run here unmodified, on virtual time. Import the parts from their modules.
"""
