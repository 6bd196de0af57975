# Makes of secrets that are files what programs read: a password file of PostgreSQL's client and MLflow's file of
# credentials, both below HOME, and for MLflow's server its two variables. So the settings of a container, which
# `docker inspect` and `kubectl describe` show, hold no secret. The entrypoint reads this file, and so do login shells,
# in which Kubernetes' operator starts Ray.
_secrets=${GRADSTAB_SECRETS:-/run/secrets}
if [ -r "$_secrets/database-password" ]; then
    (umask 077 && sed 's/[\\:]/\\&/g; s/^/*:*:*:*:/' "$_secrets/database-password" > "$HOME/.pgpass")
fi
if [ -r "$_secrets/mlflow-password" ]; then
    (umask 077 && mkdir -p "$HOME/.mlflow" && printf '[mlflow]\nmlflow_tracking_username = %s\nmlflow_tracking_password = %s\n' \
        "${MLFLOW_USER:-gradstab}" "$(cat "$_secrets/mlflow-password")" > "$HOME/.mlflow/credentials")
fi
if [ -r "$_secrets/mlflow-admin-password" ] && [ -r "$_secrets/mlflow-secret-key" ]; then
    MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$_secrets/mlflow-admin-password")
    MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$_secrets/mlflow-secret-key")
    export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
fi
