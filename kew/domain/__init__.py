"""The rules of kew, pure: no I/O, no clock, no randomness, no asyncio; the standard library and attrs only.

Read `lifecycle` first (what a task may do), then `breaker` and `queue` (what a queue may do).
"""
