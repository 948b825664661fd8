"""The report of a search: what it tried, its front, and what fresh seeds say of it."""
