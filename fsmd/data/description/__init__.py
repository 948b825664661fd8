"""What an own log is: `dataset.toml` as values. Nothing here reads a row."""
