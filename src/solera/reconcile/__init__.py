"""What stands beside the weights: config, tokenizer, side files, recipe, manifest, card."""

from solera.reconcile.card import CardMethod, CardModel, hub_id, library_of, model_card
from solera.reconcile.choosing import SideFile, side_files
from solera.reconcile.compare import config_differences
from solera.reconcile.config import layer_warnings, reconcile_config
from solera.reconcile.licences import Licence, licence_of, read_front_matter, strictest
from solera.reconcile.record import MANIFEST, NUMERICS, InputModel, OutputTensorRow, digests, manifest
from solera.reconcile.tokens import moved_token_ids
from solera.reconcile.write import (
    CARD_FILE,
    MERGEKIT_FILE,
    RECIPE_FILE,
    Written,
    dumped,
    put_file,
    write_side_files,
)

__all__ = [
    "CARD_FILE",
    "MANIFEST",
    "MERGEKIT_FILE",
    "NUMERICS",
    "RECIPE_FILE",
    "CardMethod",
    "CardModel",
    "InputModel",
    "Licence",
    "OutputTensorRow",
    "SideFile",
    "Written",
    "config_differences",
    "digests",
    "dumped",
    "hub_id",
    "layer_warnings",
    "library_of",
    "licence_of",
    "manifest",
    "model_card",
    "moved_token_ids",
    "put_file",
    "read_front_matter",
    "reconcile_config",
    "side_files",
    "strictest",
    "write_side_files",
]
