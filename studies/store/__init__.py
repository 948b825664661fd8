"""The database: what was planned, what was trained, and Optuna's copy of it; no torch."""
