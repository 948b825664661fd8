"""Real processes, real signals, and an audit that asks none of our readers.

`python -m tests.faults --help` tells how to run the long ones; `tests/test_faults.py` runs some of
each kind.
"""
