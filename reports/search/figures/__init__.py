"""The figures of a search's report, one file each; a file with a `FIGURE` is one."""
