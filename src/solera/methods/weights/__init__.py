"""Methods that merge weight by weight and need no data: one file per method or tight family."""
