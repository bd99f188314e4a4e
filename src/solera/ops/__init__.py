"""Solera: the room `ops`."""
