"""Statistics: arrays in, numbers out; imports nothing else of this project and no torch."""
