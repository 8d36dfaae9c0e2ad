"""The genuine Redis adapter and its library in a simulated world: a Redis inside this process, and a store on it.

A second opinion beside the memory store, never the only one: the Redis is fakeredis, and docs/simulation.md lists what
it can't do. Only this folder knows that there is such a thing.
"""

from kew.simulation.lua.server import LuaServer

__all__ = ["LuaServer"]
