"""What to vary, hold and compare, and how to run it."""
