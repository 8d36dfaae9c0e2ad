"""How calls and results become bytes: MessagePack by default, signed pickle on request."""

from kew.adapters.codecs.messagepack import MessagePackCodec
from kew.adapters.codecs.pickled import PickleCodec

__all__ = ["MessagePackCodec", "PickleCodec"]
