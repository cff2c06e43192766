"""Rules over rendered objects; each returns its violations as text, so that planted faults can prove that it bites."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from chart_world import Object, PodTemplate, matches, of_kind, pods_of

Objects = Sequence[Object]
VOLUMES = {"emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim", "downwardAPI", "csi", "ephemeral"}
"""What Pod Security `restricted` admits."""


def restricted(found: Objects) -> list[str]:
    """Pod Security `restricted`, and what this project asks beyond it."""
    return [f"{pod}: {fault}" for pod in pods_of(list(found)) for fault in _pod_faults(pod)]


def _pod_faults(pod: PodTemplate) -> Iterator[str]:
    spec, context = pod.spec, pod.spec.get("securityContext", {})
    if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares a namespace of the host"
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if spec.get("enableServiceLinks") is not False:
        yield "gets the addresses of all Services as variables"
    if "automountServiceAccountToken" not in spec:
        yield "does not say whether it mounts a token"
    for volume in spec.get("volumes", []):
        kind = next(key for key in volume if key != "name")
        if kind not in VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
        if kind == "emptyDir" and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} has no size limit"
    mounted = {item["name"] for item in spec.get("volumes", [])}
    for container in pod.containers:
        for fault in _container_faults(container):
            yield f"container {container['name']} {fault}"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in mounted and pod.kind != "StatefulSet":
                yield f"container {container['name']} mounts {mount['name']}, which is no volume"


def _container_faults(container: Object) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may escalate"
    if context.get("capabilities", {}).get("drop") != ["ALL"] or context.get("capabilities", {}).get("add"):
        yield "keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write its root"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    resources = container.get("resources", {})
    for part in ("requests", "limits"):
        for quantity in ("cpu", "memory"):
            if quantity not in resources.get(part, {}):
                yield f"has no {quantity} in {part}"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "takes a port of the host"
    if container["image"].rpartition("/")[2].endswith(":latest") or not set(container["image"]) & {":", "@"}:
        yield "names no version of its image"


def env_names(found: Objects) -> list[str]:
    """A variable named twice: server-side apply refuses it."""
    faults = []
    for pod in pods_of(list(found)):
        for container in pod.containers:
            names = [entry["name"] for entry in container.get("env", [])]
            faults += [
                f"{pod} {container['name']}: {name} twice" for name in sorted(set(names)) if names.count(name) > 1
            ]
    return faults


def service_selectors(found: Objects) -> list[str]:
    """Each Service picks one workload that has its ports, and no pod of a Job or test."""
    faults = []
    pods = pods_of(list(found))
    for service in of_kind(list(found), "Service"):
        name, selector = service["metadata"]["name"], {"matchLabels": service["spec"]["selector"]}
        chosen = [pod for pod in pods if matches(selector, pod.labels)]
        steady = [pod for pod in chosen if pod.kind in {"Deployment", "StatefulSet"}]
        if len(steady) != 1:
            faults.append(f"Service {name} selects {[str(pod) for pod in steady]}")
        faults += [f"Service {name} selects {pod}" for pod in chosen if pod not in steady]
        if len(steady) == 1:
            ports = _ports(steady[0])
            faults += [
                f"Service {name}: {steady[0]} has no port {port['targetPort']}"
                for port in service["spec"]["ports"]
                if port.get("targetPort", port["port"]) not in ports
            ]
    return faults


def _ports(pod: PodTemplate) -> set[Any]:
    ports = [port for container in pod.spec["containers"] for port in container.get("ports", [])]
    return {port["containerPort"] for port in ports} | {port["name"] for port in ports if "name" in port}


def workload_selectors(found: Objects) -> list[str]:
    """The selector of a workload, budget or monitor fits its pods and nobody else's."""
    faults, pods = [], pods_of(list(found))
    for item in of_kind(list(found), "Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"):
        kind, name, selector = item["kind"], item["metadata"]["name"], item["spec"]["selector"]
        chosen = [pod for pod in pods if matches(selector, pod.labels)]
        if (len(chosen) != 1 and kind != "PodMonitor") or not chosen:
            faults.append(f"{kind} {name} selects {[str(pod) for pod in chosen]}")
        elif kind in {"Deployment", "StatefulSet"} and chosen[0].name != name:
            faults.append(f"{kind} {name} selects {chosen[0]}")
    services = of_kind(list(found), "Service")
    for item in of_kind(list(found), "ServiceMonitor"):
        chosen_services = [one for one in services if matches(item["spec"]["selector"], one["metadata"]["labels"])]
        named = {port["name"] for one in chosen_services for port in one["spec"]["ports"]}
        behind = [
            pod
            for pod in pods
            for one in chosen_services
            if matches({"matchLabels": one["spec"]["selector"]}, pod.labels)
        ]
        named |= {("pod", port) for pod in behind for port in _ports(pod)}
        ends = item["spec"]["endpoints"]
        wanted = {end["port"] if "port" in end else ("pod", end["targetPort"]) for end in ends}
        if not chosen_services or not wanted <= named:
            faults.append(f"ServiceMonitor {item['metadata']['name']} finds ports {named}, wants {wanted}")
    return faults


def policy_selectors(found: Objects, stages: Iterable[PodTemplate]) -> list[str]:
    """Each selector of a network policy takes at least one pod; those of other namespaces' pods are theirs."""
    faults, pods = [], [*pods_of(list(found)), *stages]
    for policy in of_kind(list(found), "NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        selectors = [("podSelector", spec["podSelector"])]
        for side, direction in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(side, []):
                selectors += [(direction, peer) for peer in rule.get(direction, [])]
        for where, peer in selectors:
            selector = peer if where == "podSelector" else peer.get("podSelector")
            if not selector or "app.kubernetes.io/name" not in selector.get("matchLabels", {}):
                continue
            if not any(matches(selector, pod.labels) for pod in pods):
                faults.append(f"NetworkPolicy {name}: {where} {selector} matches no pod")
    return faults


def references(found: Objects, outside: Mapping[str, set[str]]) -> list[str]:
    """Whatever a pod, binding, route or claim names is rendered, or listed as the site's own in `outside`."""
    known = {kind: {item["metadata"]["name"] for item in found if item["kind"] == kind} for kind in _KINDS}
    known["Secret"] |= outside.get("Secret", set())
    known["ConfigMap"] |= outside.get("ConfigMap", set())
    faults = []
    for owner, kind, name in [*_pod_references(found), *_object_references(found)]:
        if name not in known[kind]:
            faults.append(f"{owner} names {kind} {name}, which does not exist")
    return faults + _port_references(found)


_KINDS = (
    "ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim", "Role", "Service", "Deployment", "PriorityClass",
)  # fmt: skip


def _pod_references(found: Objects) -> Iterator[tuple[str, str, str]]:
    for pod in pods_of(list(found)):
        spec, owner = pod.spec, str(pod)
        yield owner, "ServiceAccount", spec.get("serviceAccountName", "default")
        if spec.get("priorityClassName"):
            yield owner, "PriorityClass", spec["priorityClassName"]
        for pull in spec.get("imagePullSecrets", []):
            yield owner, "Secret", pull["name"]
        for volume in spec.get("volumes", []):
            for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                if "secret" in source:
                    yield owner, "Secret", source["secret"].get("secretName") or source["secret"]["name"]
                if "configMap" in source:
                    yield owner, "ConfigMap", source["configMap"]["name"]
                if "persistentVolumeClaim" in source:
                    yield owner, "PersistentVolumeClaim", source["persistentVolumeClaim"]["claimName"]
        for container in pod.containers:
            sources = [entry["valueFrom"] for entry in container.get("env", []) if "valueFrom" in entry]
            for source in [*sources, *container.get("envFrom", [])]:
                for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
                    for reference in (source.get(f"{key}KeyRef"), source.get(f"{key}Ref")):
                        if reference:
                            yield owner, kind, reference["name"]


def _object_references(found: Objects) -> Iterator[tuple[str, str, str]]:
    for item in found:
        kind, spec = item["kind"], item.get("spec", {})
        owner = f"{kind} {item['metadata']['name']}"
        if kind == "RoleBinding":
            yield owner, item["roleRef"]["kind"], item["roleRef"]["name"]
            for subject in item["subjects"]:
                yield owner, subject["kind"], subject["name"]
        elif kind == "HorizontalPodAutoscaler":
            yield owner, spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]
        elif kind == "Ingress":
            for tls in spec.get("tls", []):
                yield owner, "Secret", tls["secretName"]
        elif kind == "HTTPRoute":
            for rule in spec["rules"]:
                for backend in rule["backendRefs"]:
                    yield owner, "Service", backend["name"]
        elif kind == "StatefulSet":
            yield owner, "Service", spec["serviceName"]
        elif kind == "Role":
            for rule in item["rules"]:
                for name in rule.get("resourceNames", []) if rule["resources"] == ["deployments"] else []:
                    yield owner, "Deployment", name


def _port_references(found: Objects) -> list[str]:
    """Probes name ports of their container, routes those of their Service, mounts the volumes of their pod."""
    faults = []
    for pod in pods_of(list(found)):
        for container in pod.containers:
            ports = {port.get("name") for port in container.get("ports", [])}
            ports |= {port["containerPort"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                handler = container.get(probe, {})
                port = (handler.get("httpGet") or handler.get("tcpSocket") or {}).get("port")
                if port is not None and port not in ports:
                    faults.append(f"{pod} {container['name']}: {probe} names port {port}, which it does not have")
    services = {item["metadata"]["name"]: item for item in of_kind(list(found), "Service")}
    for ingress in of_kind(list(found), "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = services.get(backend["name"], {"spec": {"ports": []}})
                known = {port.get("name") for port in service["spec"]["ports"]}
                known |= {port["port"] for port in service["spec"]["ports"]}
                if (backend["port"].get("name") or backend["port"].get("number")) not in known:
                    faults.append(f"Ingress {ingress['metadata']['name']}: {backend} is no Service's port")
    return faults


def wildcards(found: Objects) -> list[str]:
    """Roles that allow everything, reach secrets, or hold in the whole cluster."""
    faults = [f"{item['kind']} {item['metadata']['name']}" for item in found if item["kind"].startswith("ClusterRole")]
    for role in of_kind(list(found), "Role"):
        for rule in role["rules"]:
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            if "*" in words or "secrets" in words or "pods/exec" in words:
                faults.append(f"Role {role['metadata']['name']}: {rule}")
    return faults


def early_hooks(found: Objects) -> list[str]:
    """Hooks that run before the release exists, and so must not need anything of it."""
    return [
        f"{item['kind']} {item['metadata']['name']}: {hook}"
        for item in found
        if (hook := item["metadata"].get("annotations", {}).get("helm.sh/hook", "")).startswith("pre-")
    ]


def holders(found: Objects, key: str) -> set[tuple[str, str]]:
    """Return the pods and containers that can read one key of a mounted Secret."""
    return {
        (pod.name, container["name"])
        for pod in pods_of(list(found))
        for volume in pod.spec.get("volumes", [])
        if _shows(volume, key)
        for container in pod.containers
        if any(mount["name"] == volume["name"] for mount in container.get("volumeMounts", []))
    }


def _shows(volume: Mapping[str, Any], key: str) -> bool:
    """Whether a volume may hold a key: it is listed, or a whole Secret of ours is mounted."""
    sources = [volume, *volume.get("projected", {}).get("sources", [])]
    secrets = [source["secret"] for source in sources if "secret" in source]
    return any(
        key in {item["key"] for item in secret["items"]}
        if "items" in secret
        else str(secret.get("name") or secret.get("secretName")).endswith("-airflow")
        for secret in secrets
    )
