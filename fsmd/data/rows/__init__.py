"""The rows of a log, in parts that fit in memory, whatever they come from."""
