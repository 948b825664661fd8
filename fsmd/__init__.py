"""The model of the paper, its data and its training; knows no Optuna and no reports."""
