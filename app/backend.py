"""What the window knows of the engine at work, by the names that the window's files use."""

from engine.serving.backend import Asked, Backend, Offer, facts
from engine.serving.fleet import Fleet
from engine.serving.local import GET, KEPT, Local

__all__ = ["GET", "KEPT", "Asked", "Backend", "Fleet", "Local", "Offer", "facts"]
