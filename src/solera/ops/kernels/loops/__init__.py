"""The block loops, compiled by numba: one pass over tiles that stay in the first-level cache, for any number of models.

Every loop takes (elements, start, reading, program, ...): `reading` says where the operands are and how their types are
read, `program` what is done to them. Addresses and tables of numbers keep each to one compiled form for all types and
model counts, stored on disk. All arithmetic is in the order of the steps: no reassociation, no fused multiply-add.
`plain` holds the same functions in numpy.
"""

from solera.ops.kernels.loops.counting import ballot, changed, count, count_bracket, count_inside, gather
from solera.ops.kernels.loops.sifting import count_changes
from solera.ops.kernels.loops.summing import sums
from solera.ops.kernels.loops.writing import write

__all__ = ["ballot", "changed", "count", "count_bracket", "count_changes", "count_inside", "gather", "sums", "write"]
