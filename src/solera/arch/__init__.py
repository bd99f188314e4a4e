"""Solera: the room `arch`."""
