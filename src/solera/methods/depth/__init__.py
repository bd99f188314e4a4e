"""Methods that move whole layers."""
