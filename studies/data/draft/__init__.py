"""A draft of a description: `look` reads a log, `guesses` says what it may mean, `text` writes."""
