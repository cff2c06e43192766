# Make the users of Airflow's database what the mounted Secrets say; safe to run again.
set -eu
login=${1:-/run/secrets/login}
user() { # ROLE FOLDER
  name=$(cat "$login/$2/username") password=$(cat "$login/$2/password")
  airflow users create --role "$1" --username "$name" --use-random-password \
    --firstname kubetune --lastname "$name" --email "$name@kubetune.invalid"
  # By standard input, where Airflow asks for it twice: a process's arguments can be read by others.
  printf '%s\n%s\n' "$password" "$password" | airflow users reset-password --username "$name"
}
user Admin admin
user Public trigger # a role without rights, until the next line
python "${0%/*}/trigger_role.py" "$(cat "$login/trigger/username")"
