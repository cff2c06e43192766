#!/bin/sh
# Writes the hashed locks of the images, with the pins of the environment that the tests ran in. Run by `make lock`.
set -eu
cd "$(dirname "$0")/../.."
compile() { uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --custom-compile-command 'make lock' --quiet --constraints requirements/dev.txt "$@"; }
compile pyproject.toml --output-file requirements/images/core.txt
compile --group build --output-file requirements/images/build.txt
compile requirements/images/torch.in --output-file requirements/images/torch.txt
compile pyproject.toml --extra ml --output-file requirements/images/ml.txt
compile pyproject.toml --extra deploy --output-file requirements/images/deploy.txt
# MLflow's server wants an older pyarrow than ours; of the rest it has the versions of the layer below it.
uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command 'make lock' --quiet --constraints requirements/images/core.txt \
    --override requirements/images/tracking-overrides.in requirements/images/tracking.in \
    --output-file requirements/images/tracking.txt
# What nothing of ours imports comes without its own dependencies; the pins are those of `make demo`.
compile pyproject.toml --extra ml --extra serve --override requirements/overrides.in --output-file requirements/images/serve.txt
compile requirements/images/ingest.in --no-deps --constraints requirements/demo.txt --output-file requirements/images/ingest.txt
compile requirements/images/java.in --no-deps --constraints requirements/demo.txt --output-file requirements/images/java.txt
