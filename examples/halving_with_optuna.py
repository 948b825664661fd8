"""Early stopping in an Optuna study of two objectives: the error of a network, and its size.

Optuna's own pruners refuse a study of several objectives. Here each trial tells after each epoch
where it stands on both, and the same rule as in this project's searches says whether it goes on.

    python examples/halving_with_optuna.py
"""

import sys

import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from studies.search import MultiObjectiveHalving

EPOCHS = 27
halving = MultiObjectiveHalving(steps=EPOCHS)

x, y = load_digits(return_X_y=True)
x_train, x_valid, y_train, y_valid = train_test_split(x / 16, y, test_size=600, random_state=0)


def objective(trial: optuna.Trial) -> tuple[float, int]:
    """Train a network; its validation error at its best epoch, and how many weights it has."""
    width = trial.suggest_int("width", 4, 64, log=True)
    network = MLPClassifier(
        hidden_layer_sizes=(width,) * trial.suggest_int("depth", 1, 2),
        learning_rate_init=trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        batch_size=64,
        random_state=0,
    )
    error = 1.0
    for epoch in range(1, EPOCHS + 1):
        network.partial_fit(x_train, y_train, classes=range(10))
        size = sum(w.size for w in network.coefs_ + network.intercepts_)
        error = min(error, 1 - network.score(x_valid, y_valid))
        trial.set_user_attr("epochs", epoch)
        if halving.stops(trial, epoch, (error, size)):
            raise optuna.TrialPruned
    return error, size


def main(trials: int = 40) -> optuna.Study:
    """Search, and print what it cost and what it found."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=optuna.samplers.TPESampler(seed=0)
    )
    study.optimize(objective, n_trials=trials)
    stopped = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
    epochs = sum(trial.user_attrs["epochs"] for trial in study.trials)
    print(f"{len(stopped)} of {trials} trials stopped; {epochs} of {trials * EPOCHS} epochs")
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        error, size = trial.values
        print(f"error {error:.3f} with {size:5.0f} weights: {trial.params}")
    return study


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
