#!/bin/sh
# Makes the Secrets that the manifests name, with random values, in the namespace kubetune; one that exists is left as it
# is. For an external database or store give DATABASE_URL, TRACKING_DATABASE_URL for MLflow's, and make the Secrets
# kubetune-store-<user> of its keys yourself.
set -eu
random() { LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c "${1:-40}"; }
secret() {
    name=$1; shift
    kubectl --namespace kubetune get secret "$name" >/dev/null 2>&1 ||
        kubectl --namespace kubetune create secret generic "$name" "$@"
}
password=$(random)
secret kubetune-database --from-literal=password="$password" \
    --from-literal=connection="${DATABASE_URL:-postgresql+psycopg2://airflow:$password@kubetune-database.kubetune.svc:5432/airflow}"
secret kubetune-airflow --from-literal=api_secret_key="$(random 64)" --from-literal=jwt_secret="$(random 64)" \
    --from-literal=fernet_key="$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
secret kubetune-admin --from-literal=username=admin --from-literal=password="$(random)"
secret kubetune-trigger --from-literal=kubetune_airflow_user=kubetune-trigger \
    --from-literal=kubetune_airflow_password="$(random)"
secret kubetune-object-store-root --from-literal=root_user=kubetune-root --from-literal=root_password="$(random)"
tracking=$(random)
secret kubetune-tracking-database --from-literal=password="$tracking" \
    --from-literal=connection="${TRACKING_DATABASE_URL:-postgresql+psycopg2://tracking:$tracking@kubetune-database.kubetune.svc:5432/tracking}"
secret kubetune-tracking --from-literal=flask_secret_key="$(random 64)"
secret kubetune-tracking-admin --from-literal=username=admin --from-literal=password="$(random)"
secret kubetune-tracking-mirror --from-literal=kubetune_tracking_user=kubetune-mirror \
    --from-literal=kubetune_tracking_password="$(random)"
for user in ingest fetch prepare train evaluate behave compare package register deploy serve housekeeping client logs mirror tracking; do
    secret "kubetune-store-$user" --from-literal=kubetune_s3_access_key="kubetune-$user" \
        --from-literal=kubetune_s3_secret_key="$(random)"
done
