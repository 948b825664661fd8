"""The report as a frozen value, and how it becomes a page, a PDF and files."""
