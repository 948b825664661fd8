"""From stored trainings to figures, verdicts, a page and a PDF; never imports torch."""
