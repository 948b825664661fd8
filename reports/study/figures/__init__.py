"""One file a figure: its numbers, its drawing, its words and its place (`FIGURE`)."""
