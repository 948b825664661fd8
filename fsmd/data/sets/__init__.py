"""The data sets: one file each, with a `sources()`. A file that is put here is enough."""
