#!/bin/sh
# A kind cluster with kubetune in it: up, demo, down. `make kind-up` and its sisters call it; every setting below can be
# given as a make variable. Needs kind, kubectl, helm and a Docker engine.
set -eu
cd "$(dirname "$0")/.."
: "${KIND_CLUSTER_NAME:=kubetune}" "${KIND_CONFIG:=kind-config.yaml}"
: "${KIND_NODE_IMAGE:=}"  # empty: the one that kind was released with
: "${REGISTRY:=}"         # a registry that the nodes reach; empty: images are loaded into the nodes
: "${REGISTRY_PUSH:=}"    # or a command that takes local image names and puts them where the nodes pull from
: "${RELEASE:=kubetune}" "${NAMESPACE:=kubetune}" "${PROFILE:=charts/kubetune/profiles/kind.yaml}" "${HELM_FLAGS:=}"
: "${DOCKER:=docker}" "${PYTHON:=python3.11}" "${RECIPE:=tweets}" "${BUCKET:=kubetune}"
export KIND_CLUSTER_NAME REGISTRY_PUSH DOCKER
KUBETUNE=.venv/bin/kubetune
began=$(date +%s) last=$began said=$(mktemp)
trap 'rm -f "$said"' EXIT

step() { now=$(date +%s); echo "kind: $1: $((now - last)) s"; last=$now; }
k() { kubectl --context "kind-$KIND_CLUSTER_NAME" --namespace "$NAMESPACE" "$@"; }
h() { helm --kube-context "kind-$KIND_CLUSTER_NAME" --namespace "$NAMESPACE" "$@"; }
secret() { k get secret "$1" -o "jsonpath={.data.$2}" | base64 -d; }

create_cluster() {
    if kind get clusters -q 2>/dev/null | grep -qx "$KIND_CLUSTER_NAME"; then
        kind export kubeconfig --quiet --name "$KIND_CLUSTER_NAME"
    else
        kind create cluster --name "$KIND_CLUSTER_NAME" --config "$KIND_CONFIG" --wait 120s \
            ${KIND_NODE_IMAGE:+--image "$KIND_NODE_IMAGE"}
    fi
}

# What the chart names, with the images in a file.
chart_images() {
    version=$(kubectl --context "kind-$KIND_CLUSTER_NAME" version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p')
    server=$(echo "$version" | tail -1)
    # shellcheck disable=SC2086  # several flags
    helm template "$RELEASE" charts/kubetune --kube-version "$server" --values "$PROFILE" $HELM_FLAGS |
        sed -n 's/^ *\(- \)\{0,1\}image: *"\{0,1\}\([^" ]*\)"\{0,1\} *$/\2/p' | cat - "$1" | sort -u
}

# What of it this machine has; the nodes pull the rest themselves.
local_images() {
    chart_images "$1" | while read -r image; do
        if $DOCKER image inspect "$image" >/dev/null 2>&1; then echo "$image"; fi
    done
}

# With a registry the chart looks for every image there, also for those that are not ours.
push_foreign() {
    chart_images "$said" | grep -vxFf "$said" | while read -r image; do
        $DOCKER image inspect "$image" >/dev/null 2>&1 || $DOCKER pull --quiet "$image" >/dev/null
        $DOCKER tag "$image" "${REGISTRY%/}/$image"
        $DOCKER push --quiet "${REGISTRY%/}/$image"
    done
}

# An image's name in full, as a node wants it; a short one belongs to the registry that the engine itself asks.
full_name() {
    case $1 in
    *.*/* | *:*/*) echo "$1" ;;
    */*) echo "$hub/$1" ;;
    *) echo "$hub/library/$1" ;;
    esac
}

# Nodes learn of an image that was pushed again under its old name by pulling it; only changed layers travel.
pull_into_nodes() {
    hub=$($DOCKER info --format '{{.IndexServerAddress}}' | sed 's|^https://\(index\.\)\{0,1\}||; s|/.*||')
    for node in $(kind get nodes -q --name "$KIND_CLUSTER_NAME"); do
        for image in "$@"; do
            $DOCKER exec "$node" ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d \
                "$(full_name "$image")" >/dev/null
        done
    done
}

images_in() {
    "$PYTHON" images/build.py names >"$said"
    if [ -n "$REGISTRY" ]; then
        "$PYTHON" images/build.py push --registry "$REGISTRY"
        push_foreign
        HELM_FLAGS="--set global.registry=$REGISTRY $HELM_FLAGS"
    else
        images=$(local_images "$said")
        # shellcheck disable=SC2086  # one name a word
        if [ -n "$REGISTRY_PUSH" ]; then
            $REGISTRY_PUSH $images
            step "push"
            pull_into_nodes $images
        else
            kind load docker-image --name "$KIND_CLUSTER_NAME" $images
        fi
    fi
    # shellcheck disable=SC2046
    ids=$($DOCKER image inspect --format '{{.Id}}' $(cat "$said") | sha256sum | cut -c1-16)
}

install_chart() {
    kubectl --context "kind-$KIND_CLUSTER_NAME" create namespace "$NAMESPACE" 2>/dev/null || true
    # As manifests/namespace.yaml does.
    k label namespace "$NAMESPACE" --overwrite pod-security.kubernetes.io/enforce=restricted \
        pod-security.kubernetes.io/enforce-version=v1.34 >/dev/null
    # shellcheck disable=SC2086
    h upgrade --install "$RELEASE" charts/kubetune --values "$PROFILE" $HELM_FLAGS --wait --timeout 10m >/dev/null
    # Images keep their tag when they are built again, so pods of the former ones are replaced by hand.
    former=$(k get namespace "$NAMESPACE" -o 'jsonpath={.metadata.annotations.kubetune\.io/images}')
    if [ -n "$former" ] && [ "$former" != "$ids" ]; then
        ours="app.kubernetes.io/instance=$RELEASE,app.kubernetes.io/component!=database"
        k rollout restart deployment,statefulset --selector "$ours" >/dev/null
        k get deployment,statefulset --selector "$ours" --output name |
            while read -r workload; do k rollout status "$workload" --timeout 10m >/dev/null; done
    fi
    k annotate namespace "$NAMESPACE" --overwrite "kubetune.io/images=$ids" >/dev/null
}

up() {
    "$PYTHON" images/build.py build
    step "images built"
    create_cluster
    step "cluster $KIND_CLUSTER_NAME"
    images_in
    step "images in the nodes"
    install_chart
    step "chart installed and ready"
    echo "kind: all: $(($(date +%s) - began)) s"
    cat <<TEXT

Airflow       http://127.0.0.1:30080
Predictions   http://127.0.0.1:30081/predictions/$RECIPE (503 until a run has deployed there)
Object store  http://127.0.0.1:30082
MLflow        http://127.0.0.1:30083 (user admin, password in $RELEASE-tracking-admin)

Log in as $(secret "$RELEASE-admin" username) with the password that this prints:
  kubectl -n $NAMESPACE get secret $RELEASE-admin -o jsonpath='{.data.password}' | base64 -d
For the command line: eval "\$(images/kind.sh settings)", or kubetune login with the same values. Next: make kind-demo
TEXT
}

# The cluster's settings as lines for a shell; they hold its secrets, so nothing prints them unasked.
settings() {
    cat <<TEXT
export KUBETUNE_AIRFLOW_URL=http://127.0.0.1:30080
export KUBETUNE_AIRFLOW_USER='$(secret "$RELEASE-admin" username)'
export KUBETUNE_AIRFLOW_PASSWORD='$(secret "$RELEASE-admin" password)'
export KUBETUNE_ENDPOINT_URL=http://127.0.0.1:30081
export KUBETUNE_STORE='s3://$BUCKET'
export KUBETUNE_S3_ENDPOINT=http://127.0.0.1:30082
export KUBETUNE_S3_ACCESS_KEY='$(secret "$RELEASE-store-client" kubetune_s3_access_key)'
export KUBETUNE_S3_SECRET_KEY='$(secret "$RELEASE-store-client" kubetune_s3_secret_key)'
TEXT
}

demo() {
    eval "$(settings)"
    step "settings read"
    "$KUBETUNE" submit "$RECIPE" >"$said"
    cat "$said"
    run=$(sed -n 's/^run \([^ ]*\) .*/\1/p' "$said")
    "$KUBETUNE" follow "$run"
    step "run $run, from trigger to deployed"
    "$KUBETUNE" predict --endpoint "$RECIPE" "I love how fast this phone is" \
        "My flight is cancelled and nobody answers the phone" "The meeting starts at nine on Monday"
    step "three predictions"
}

down() { kind delete cluster --name "$KIND_CLUSTER_NAME"; }

case "${1:-}" in
up | demo | settings | down) "$1" ;;
*) echo "kind: say up, demo, settings or down" >&2; exit 78 ;;
esac
