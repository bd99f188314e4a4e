"""Solera: the room `checkpoints`."""
