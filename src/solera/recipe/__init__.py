"""Solera: the room `recipe`."""
