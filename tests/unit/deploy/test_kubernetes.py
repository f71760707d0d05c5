"""The Kubernetes manifests: current, valid, restricted, and of one piece."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types
import pytest
from jsonschema import Draft202012Validator

from segstream.adapters.kafka.letters import marks_topic
from segstream.adapters.kafka.topics import Topics
from segstream.core.definitions import find_mistakes
from segstream.core.time import parse_duration
from segstream.settings import Settings
from tests import manifests
from tests.manifests import OVERLAYS, documents, one, pods

DATA = Path(__file__).parent / "data"
PODS = [
    pytest.param(template, id=f"{overlay}-{name}") for overlay in OVERLAYS for name, template in pods(overlay)
]
OLDEST = "1.30"
"""The oldest Kubernetes whose schemas the manifests are held to."""


def _settings(overlay: str) -> dict[str, str]:
    found: dict[str, str] = one(overlay, "ConfigMap", "segstream-settings")["data"]
    return found


def _partitions(overlay: str) -> int:
    """Return how many the topics get, from the Job or by the operator."""
    if overlay == "strimzi":
        return int(one(overlay, "KafkaTopic", "events")["spec"]["partitions"])
    words = one(overlay, "Job", "segstream-topics")["spec"]["template"]["spec"]["containers"][0]["args"]
    return int(words[words.index("--partitions") + 1])


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]  # fails the test
    return int(number) << {"Mi": 20, "Gi": 30}[unit]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rendered_manifests_were_made_from_the_sources_as_they_are(overlay: str) -> None:
    """``python -m tests.manifests`` renews them; this needs no Kustomize."""
    assert manifests.made_from(manifests.kept(overlay)) == manifests.sources()


@pytest.mark.skipif(manifests.kustomize() is None, reason="neither kustomize nor kubectl is on PATH")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_renders_what_is_checked_in(overlay: str) -> None:
    """Whatever its version: the objects are compared, not the text."""

    def by_name(found: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
        return {(document["kind"], document["metadata"]["name"]): document for document in found}

    assert by_name(manifests.read_yaml(manifests.render(overlay))) == by_name(documents(overlay))


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid_under_its_schema(overlay: str, version: str) -> None:
    """Kubernetes' own, refusing unknown fields; Strimzi's by what is used of it."""
    for document in documents(overlay):
        if document["apiVersion"].startswith("kafka.strimzi.io/"):
            schema = json.loads((DATA / f"strimzi-{document['kind'].lower()}.json").read_text())
            Draft202012Validator(schema).validate(document)
        else:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_do_refuse() -> None:
    """A misspelt field and a value of the wrong kind fail."""
    broken = one("dev", "StatefulSet", "segstream") | {"spec": {"replicas": "one"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, OLDEST, strict=True)
    schema = json.loads((DATA / "strimzi-kafkatopic.json").read_text())
    misspelt = one("strimzi", "KafkaTopic", "events") | {"spec": {"partition": 3}}
    assert not Draft202012Validator(schema).is_valid(misspelt)


@pytest.mark.parametrize("template", PODS)
def test_a_pod_keeps_to_the_restricted_standard(template: dict[str, Any]) -> None:
    """Not root, no capabilities, no escalation, the default seccomp profile; no token, a file system that is read."""
    spec = template["spec"]
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "segstream"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    allowed = {"projected", "emptyDir", "configMap"}
    assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])
    for container in spec["containers"] + spec.get("initContainers", []):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"hostPort"} & {key for port in container.get("ports", []) for key in port}


@pytest.mark.parametrize("template", PODS)
def test_a_pod_says_what_it_needs_and_limits_memory_to_what_it_asks_for(template: dict[str, Any]) -> None:
    """CPU and memory are requested and limited; memory alike, since what is over the request may be taken away."""
    for container in template["spec"]["containers"]:
        resources = container["resources"]
        assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}
        assert resources["requests"]["memory"] == resources["limits"]["memory"]


@pytest.mark.parametrize("template", PODS)
def test_kubernetes_adds_no_variable_that_looks_like_a_setting(template: dict[str, Any]) -> None:
    """A Service ``segstream`` would be told as ``SEGSTREAM_PORT``, which a worker takes for a wrong setting."""
    assert template["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("template", PODS)
def test_every_image_has_a_version(template: dict[str, Any]) -> None:
    """And never ``latest``."""
    for container in template["spec"]["containers"]:
        assert re.fullmatch(r"\S+:\d+\.\d+\.\d+", container["image"])


@pytest.mark.parametrize("template", PODS)
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(template: dict[str, Any]) -> None:
    """Volumes and mounts name each other."""
    names = {volume["name"] for volume in template["spec"]["volumes"]}
    for container in template["spec"]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_setting_that_names_a_file_names_one_that_is_mounted(overlay: str) -> None:
    """In every pod: passwords and certificates come as files from Secrets."""
    wanted = {value for name, value in _settings(overlay).items() if name.endswith("_FILE")}
    for _, template in pods(overlay):
        (container,) = template["spec"]["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        files = {
            f"{mounts[volume['name']]}/{item['path']}"
            for volume in template["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            for item in source["secret"]["items"]
        }
        assert files == wanted
    assert bool(wanted) == (overlay != "dev")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_manifest_holds_a_secret(overlay: str) -> None:
    """Neither as an object nor in a setting or a URL."""
    assert not [document for document in documents(overlay) if document["kind"] == "Secret"]
    settings = _settings(overlay)
    secrets = {f"SEGSTREAM_{name.upper()}" for name in Settings.model_fields if name.endswith("password")}
    assert not secrets & set(settings)
    assert "@" not in settings["SEGSTREAM_REDIS"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_longer_to_end_than_the_worker_takes_to_drain(overlay: str) -> None:
    """By a third at least."""
    spec = one(overlay, "StatefulSet", "segstream")["spec"]["template"]["spec"]
    drain = parse_duration(_settings(overlay)["SEGSTREAM_DRAIN_TIMEOUT"]) / 1000
    assert spec["terminationGracePeriodSeconds"] >= 1.33 * drain


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_cache_and_the_inbox_fit_the_memory(overlay: str) -> None:
    """With 170 MB for the interpreter and its libraries, and 10 MB for each partition: one worker may be left with all."""
    (container,) = one(overlay, "StatefulSet", "segstream")["spec"]["template"]["spec"]["containers"]
    settings = Settings.model_fields
    most = sum(
        int(_settings(overlay).get(f"SEGSTREAM_{name.upper()}", settings[name].default))
        for name in ("cache_mb", "inbox_mb")
    )
    assert (most + 170 + 10 * _partitions(overlay)) << 20 <= _bytes(
        container["resources"]["limits"]["memory"]
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_and_services_meet_the_port_that_is_served(overlay: str) -> None:
    """On all addresses of the pod; `tests/integration/test_image.py` asks the probes' paths of a worker."""
    settings = _settings(overlay)
    assert settings["SEGSTREAM_WEB_HOST"] == "0.0.0.0"  # noqa: S104 - within a pod, behind a NetworkPolicy
    port = int(settings["SEGSTREAM_WEB_PORT"])
    (container,) = one(overlay, "StatefulSet", "segstream")["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    probes = {
        name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert probes["livenessProbe"]["path"] == probes["startupProbe"]["path"] == "/health/live"
    assert probes["readinessProbe"]["path"] == "/health/ready"
    for document in documents(overlay):
        if document["kind"] == "Service":
            assert [(each["port"], each["targetPort"]) for each in document["spec"]["ports"]] == [
                (port, "http")
            ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_and_the_disruption_budget_mean_workers_and_no_job(overlay: str) -> None:
    """By the labels of the pods; the headless Service is the StatefulSet's."""
    labels = {name: set(template["metadata"]["labels"].items()) for name, template in pods(overlay)}
    workers = one(overlay, "StatefulSet", "segstream")
    selectors = {
        document["metadata"]["name"]: document["spec"]["selector"]
        for document in documents(overlay)
        if document["kind"] == "Service"
    }
    selectors["budget"] = one(overlay, "PodDisruptionBudget", "segstream")["spec"]["selector"]["matchLabels"]
    selectors["workers"] = workers["spec"]["selector"]["matchLabels"]
    for selector in selectors.values():
        assert [name for name, found in labels.items() if set(selector.items()) <= found] == ["segstream"]
    headless = {
        document["metadata"]["name"]
        for document in documents(overlay)
        if document["kind"] == "Service" and document["spec"].get("clusterIP") == "None"
    }
    assert headless == {workers["spec"]["serviceName"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_policy_covers_every_pod_and_lets_it_reach_its_servers(overlay: str) -> None:
    """Kafka's and Redis' ports as the settings have them; in come those who watch only."""
    policy = one(overlay, "NetworkPolicy", "segstream")["spec"]
    for _, template in pods(overlay):
        assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    settings = _settings(overlay)
    servers = [*settings["SEGSTREAM_KAFKA"].split(","), settings["SEGSTREAM_REDIS"].rpartition("/")[0]]
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert {int(server.rpartition(":")[2]) for server in servers} <= out
    assert 53 in out
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["http"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_has_its_pods_name(overlay: str) -> None:
    """Static membership: whoever comes back under a name gets its partitions back."""
    (container,) = one(overlay, "StatefulSet", "segstream")["spec"]["template"]["spec"]["containers"]
    named = {entry["name"]: entry["valueFrom"] for entry in container["env"]}
    assert named == {"SEGSTREAM_INSTANCE_ID": {"fieldRef": {"fieldPath": "metadata.name"}}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_definitions_to_be_applied_are_valid(overlay: str) -> None:
    """The Job is given the file that the ConfigMap holds."""
    found = one(overlay, "ConfigMap", "segstream-definitions")
    ((name, text),) = found["data"].items()
    assert find_mistakes(text, name) == []
    spec = one(overlay, "Job", "segstream-apply")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "definitions"]
    assert container["args"][:2] == ["apply", f"{mount['mountPath']}/{name}"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "definitions"]
    assert volume["configMap"]["name"] == found["metadata"]["name"]


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_a_namespace_of_our_own_enforces_the_restricted_standard(overlay: str) -> None:
    """All objects are in it."""
    namespace = one(overlay, "Namespace", "segstream")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    inside = {document["metadata"].get("namespace") for document in documents(overlay)}
    assert inside == {namespace["name"], None}


def test_strimzi_makes_the_topics_that_the_worker_would_make() -> None:
    """And the replays' own; with the settings of `segstream topics`, the same number of partitions, and never fewer replicas in step than two."""
    made = {
        each["metadata"]["name"]: each["spec"]
        for each in documents("strimzi")
        if each["kind"] == "KafkaTopic"
    }
    topics = Topics()
    marks = marks_topic(topics.dead_letters)
    wished = {**topics.configuration(), marks: {"cleanup.policy": "compact"}}
    assert set(made) == set(wished)
    for name, wanted in wished.items():
        config = {key: str(value) for key, value in made[name]["config"].items()}
        assert wanted.items() <= config.items()
        assert 1 < int(config["min.insync.replicas"]) < made[name]["replicas"]
    assert len({made[name]["partitions"] for name in topics.co_partitioned}) == 1
    assert {made[name]["partitions"] for name in (topics.samples, marks)} == {1}


def test_strimzis_cluster_has_one_name_everywhere() -> None:
    """In topics and user, the address, the certificate's Secret and the NetworkPolicy; the user's Secret has its name."""
    clusters = {
        document["metadata"]["labels"]["strimzi.io/cluster"]
        for document in documents("strimzi")
        if document["apiVersion"].startswith("kafka.strimzi.io/")
    }
    (cluster,) = clusters
    settings = _settings("strimzi")
    user = one("strimzi", "KafkaUser", "segstream")["metadata"]["name"]
    assert settings["SEGSTREAM_KAFKA"] == f"{cluster}-kafka-bootstrap:9093"
    assert settings["SEGSTREAM_KAFKA_USERNAME"] == user
    for _, template in pods("strimzi"):
        (projected,) = [volume for volume in template["spec"]["volumes"] if "projected" in volume]
        secrets = [source["secret"]["name"] for source in projected["projected"]["sources"]]
        assert secrets[:2] == [user, f"{cluster}-cluster-ca-cert"]
    policy = json.dumps(one("strimzi", "NetworkPolicy", "segstream"))
    assert f'"strimzi.io/cluster": "{cluster}"' in policy
