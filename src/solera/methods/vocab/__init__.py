"""Vocabularies: read, join, match rows by token, write tokenizer files. Plain JSON and array work."""

from solera.methods.vocab.build import (
    TOKENIZER_FILES,
    BuiltTokenizer,
    build_tokenizer,
    is_tokenizer_file,
    tokenizer_files,
)
from solera.methods.vocab.joining import trimmed, union, with_tokens
from solera.methods.vocab.read import embedding_rows, read_vocabulary
from solera.methods.vocab.rows import row_plan
from solera.methods.vocab.sources import MeanRow, embedding_source
from solera.methods.vocab.template import Templates, choose_template, read_templates, with_template
from solera.methods.vocab.values import Added, RowMap, RowSource, Vocabulary, VocabularyPlan

__all__ = [
    "TOKENIZER_FILES",
    "Added",
    "BuiltTokenizer",
    "MeanRow",
    "RowMap",
    "RowSource",
    "Templates",
    "Vocabulary",
    "VocabularyPlan",
    "build_tokenizer",
    "choose_template",
    "embedding_rows",
    "embedding_source",
    "is_tokenizer_file",
    "read_templates",
    "read_vocabulary",
    "row_plan",
    "tokenizer_files",
    "trimmed",
    "union",
    "with_template",
    "with_tokens",
]
