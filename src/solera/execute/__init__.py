"""Tasks to bytes: streaming, memory, journal, resume, commit."""
