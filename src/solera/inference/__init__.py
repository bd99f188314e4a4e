"""What acts on a running model, as context managers."""
