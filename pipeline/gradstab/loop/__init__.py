"""The loop of a run: ask, pack, run, record, tell; the ports behind which Optuna, Ray and MLflow stand."""
