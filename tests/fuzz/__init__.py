"""Whatever comes in from outside, changed at random: it is taken, or refused in one line.

`python -m tests.fuzz --target NAME --cases N` tries as many as one likes and counts them.
"""
