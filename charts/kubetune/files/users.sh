# Make the users of Airflow's database what the mounted Secrets say; safe to run again.
set -eu
user() { # ROLE NAME FILE
  airflow users create --role "$1" --username "$2" --password "$(cat "$3")" \
    --firstname kubetune --lastname "$2" --email "$2@kubetune.invalid"
  airflow users reset-password --username "$2" --password "$(cat "$3")"
}
user Admin "$(cat /run/secrets/login/admin/username)" /run/secrets/login/admin/password
user User "$(cat /run/secrets/login/trigger/username)" /run/secrets/login/trigger/password
