"""The networks. Nothing here knows of pixels, files or users."""

from engine.model.var.transformer import VAR, Condition, KVCache
from engine.model.var.vqvae import VQVAE

__all__ = ["VAR", "VQVAE", "Condition", "KVCache"]
