"""The report of one study on several data sets: what they say together, and of another one."""
