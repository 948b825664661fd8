"""The report of a study: from its results to verdicts, tables, figures and words."""
