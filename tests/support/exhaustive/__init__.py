"""Every interleaving of the pure queue, within small bounds.

`bounds` says which small queues are searched, `moves` what can happen next, `oracles` what must hold of it, `canonical`
when two moments have the same future, and `search` walks them all.
"""
