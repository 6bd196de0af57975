"""The loop of a run (ask, pack, run, record, tell) and the ports through which it reaches Optuna, Ray and MLflow."""
