"""What is asked for: one schema for the window, HTTP, the command line and Python.

``options`` is the table of levers, ``edit`` the request that carries them, ``flags`` the command
line's part of the table; ``pictures`` and ``masks`` say what may be given, and how it is read.
"""

from engine.arrays import MaskLike
from engine.request.edit import MAX_MARGIN, SIDES, EditRequest, Region, reread

__all__ = ["MAX_MARGIN", "SIDES", "EditRequest", "MaskLike", "Region", "reread"]
