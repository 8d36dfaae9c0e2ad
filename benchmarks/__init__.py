"""kew beside its peers, and one commit of kew beside another: `make bench`, `make bench-self`.

`contenders` says who takes part, `figures/` what is measured, `programs/` runs in each contender's own
environment and speaks JSON lines with the `driver`, and `report` and `charts` write docs/performance.
"""
