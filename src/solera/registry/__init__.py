"""Solera: the room `registry`."""
