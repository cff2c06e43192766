#!/bin/sh
# Writes the hashed locks. Run by `make lock`; the addresses of the package index stay out of the files.
set -eu
cd "$(dirname "$0")/.."
compile() { uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --custom-compile-command 'make lock' --quiet "$@"; }
# Everything first, so that what a user runs is exactly what the tests ran with.
compile pyproject.toml --extra ml --extra serve --extra deploy --extra notices --extra tracking --group dev --group build --output-file requirements/dev.txt
compile pyproject.toml --extra ml --extra serve --extra deploy --extra notices --extra tracking --group build --constraints requirements/dev.txt \
    --override requirements/overrides.in --output-file requirements/pipeline.txt
compile requirements/build.in --output-file requirements/build.txt
compile requirements/demo.in --no-deps --output-file requirements/demo.txt
compile requirements/chart.in --no-deps --output-file requirements/chart.txt
# Airflow has an environment of its own; its tests run with the pins of its image, which a test compares.
compile requirements/airflow.in --override requirements/airflow-overrides.in --output-file requirements/airflow.txt
compile requirements/airflow-dev.in --override requirements/airflow-overrides.in --output-file requirements/airflow-dev.txt
# So has MLflow's server, with the pins of its image; what kubetune itself imports of it is in the two above.
sh requirements/images/lock.sh
compile requirements/scan.in --output-file requirements/scan.txt
