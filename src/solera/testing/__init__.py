"""For tests of your own: the laws that every method obeys, and tiny models (`solera.testing.models`)."""

from solera.testing.laws import LAWS, check_law, check_method_laws, optouts_table
from solera.testing.verdict import LawBroken

__all__ = ["LAWS", "LawBroken", "check_law", "check_method_laws", "optouts_table"]
