"""From a definition to trained and recorded cells."""
