"""Item response models: what a model would score on all items, from its answers to a few."""
