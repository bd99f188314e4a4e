"""Many machines: the same plan, its work done by the workers of a Ray cluster."""
