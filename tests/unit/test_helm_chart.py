"""The Helm chart, rendered and linted by Helm itself: valid for Kubernetes, safe by policy, and fit for the code.

No cluster is asked; docs/kubernetes.md says what has been executed and what has not.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import helm_python
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from product_match.container import entry, triton_command
from product_match.settings import ServingSettings, VectorIndexKind
from product_match_client.cli.command import main

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "deploy" / "helm"
KUBERNETES = ("1.29", "1.37")
"""The oldest that the chart takes, and the newest whose schemas are here."""
SECRETS = "/run/secrets/product-match/"
IMAGE = {"encoder": {"image": "registry/encoder:1"}}
GIVEN = {"qdrant": {"enabled": False, "url": "https://qdrant:6334"}, "mongodb": {"enabled": False}}

COMBINATIONS = {
    "cpu": IMAGE,
    "gpu": {**IMAGE, "profile": "gpu"},
    "gpu with claims": {"profile": "gpu", "encoder": {"claim": "encoder"}, "engineCache": {"claim": "engines"}},
    "stores that are given": {
        **IMAGE,
        **GIVEN,
        "networkPolicy": {"stores": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    },
    "hpa": {**IMAGE, "autoscaling": {"kind": "hpa"}},
    "keda on a gpu": {**IMAGE, "profile": "gpu", "autoscaling": {"kind": "keda"}},
    "tls": {**IMAGE, "grpcTlsSecret": "grpc-tls"},
    "placed": {
        **IMAGE,
        "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "registry"}]},
        "nodeSelector": {"gpu": "l4"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "qdrant": {"storageClass": "fast"},
        "mongodb": {"storageClass": "fast"},
        "service": {"type": "LoadBalancer", "annotations": {"team": "shop"}},
        "networkPolicy": {"enabled": False},
    },
}


@cache
def rendered(name):
    """Every manifest of a combination of values."""
    files = helm_python.Chart.load(CHART).render(COMBINATIONS[name], name="pm", namespace="shop")
    yaml = YAML(typ="safe")
    return [document for text in files.values() for document in yaml.load_all(text) if document]


def kind(name, wanted):
    return [document for document in rendered(name) if document["kind"] == wanted]


def pods(name):
    """The pod specs of a combination, by the name of what makes them."""
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in rendered(name)
        if document["kind"] in ("Deployment", "StatefulSet")
    }


def containers(spec):
    return [*spec.get("initContainers", ()), *spec["containers"]]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_helm_has_nothing_to_say_but_that_there_is_no_icon(name):
    found = helm_python.lint(CHART, COMBINATIONS[name], strict=True, kube_version="v1.29.0")
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_manifest_fits_kubernetes_schema_of_it(version):
    seen = set()
    for name in COMBINATIONS:
        for document in rendered(name):
            text = json.dumps(document, sort_keys=True)
            if text not in seen and document["kind"] != "ScaledObject":
                kubernetes_validate.validate(document, version, strict=True)
            seen.add(text)
    assert len(seen) > 20


def test_a_manifest_that_does_not_fit_would_be_noticed():
    (service, *_) = kind("cpu", "Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**service, "spec": {**service["spec"], "port": 1}}, "1.37", strict=True)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_nothing_runs_as_root_or_may_become_more_than_it_is(name):
    for spec in pods(name).values():
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }, container["name"]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_everything_has_limits_and_what_stays_has_probes(name):
    for spec in pods(name).values():
        for container in containers(spec):
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= container["resources"][bound].keys(), container["name"]
        for container in spec["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), container["name"]
        for volume in spec["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""})


@pytest.mark.parametrize("name", COMBINATIONS)
def test_everything_that_is_named_is_there(name):
    claims = {document["metadata"]["name"] for document in kind(name, "ConfigMap")}
    for spec in pods(name).values():
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        templated = {"storage"} if "storage" not in volumes else set()
        for container in containers(spec):
            mounts = [mount["name"] for mount in container["volumeMounts"]]
            assert set(mounts) <= volumes.keys() | templated, container["name"]
            ports = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                for asked in ("httpGet", "tcpSocket"):
                    named = container.get(probe, {}).get(asked, {}).get("port")
                    assert named is None or named in ports
        for volume in volumes.values():
            assert volume.get("configMap", {}).get("name", next(iter(claims), "")) in claims | {""}
    for document in rendered(name):
        selector = document.get("spec", {}).get("selector", {})
        wanted = selector.get("matchLabels", selector) if document["kind"] != "NetworkPolicy" else {}
        made = [
            other["spec"]["template"]["metadata"]["labels"]
            for other in rendered(name)
            if other["kind"] in ("Deployment", "StatefulSet")
        ]
        if wanted:
            assert any(wanted.items() <= labels.items() for labels in made), document["metadata"]["name"]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_what_triton_is_given_is_what_its_entry_point_takes(name, tmp_path):
    assert main(["secrets", str(tmp_path), "--mongodb-host", "pm-mongodb"]) == 0
    spec = pods(name)["pm"]
    (container,) = spec["containers"]
    arguments = entry._parser().parse_args(container["args"])
    assert arguments.cpu is ("gpu" not in name)
    (secret,) = [volume["secret"] for volume in spec["volumes"] if volume["name"] == "secrets"]
    assert all(item["key"] == item["path"] and (tmp_path / item["key"]).exists() for item in secret["items"])
    variables = {}
    for variable in container["env"]:
        value = variable["value"]
        if variable["name"].endswith("_FILE"):
            assert value.removeprefix(SECRETS) in {item["path"] for item in secret["items"]}
            value = str(tmp_path / value.removeprefix(SECRETS))
        variables[variable["name"]] = value
    settings = ServingSettings.from_environment(
        {key: value for key, value in variables.items() if key.startswith("PRODUCT_MATCH_")}
    )
    assert settings.vector_index is VectorIndexKind.SERVER
    assert settings.qdrant_url == ("https://qdrant:6334" if "given" in name else "pm-qdrant:6334")
    assert settings.mongodb_uri.value.endswith("@pm-mongodb:27017/product_match")
    assert spec["terminationGracePeriodSeconds"] > 10 + triton_command.EXIT_TIMEOUT_S
    assert [container["livenessProbe"]["httpGet"]["path"], container["readinessProbe"]["httpGet"]["path"]] == [
        "/live",
        "/ready",
    ]


def test_only_the_gpu_profile_asks_for_a_gpu_and_builds_engines_on_it():
    for name in COMBINATIONS:
        asking = [c["name"] for c in containers(pods(name)["pm"]) if "nvidia.com/gpu" in c["resources"]["limits"]]
        assert asking == (["engines", "triton"] if "gpu" in name else [])


def test_the_chart_pins_what_compose_pins():
    compose = YAML(typ="safe").load(PROJECT / "docker-compose.yml")["services"]
    values = YAML(typ="safe").load(CHART / "values.yaml")
    for store in ("qdrant", "mongodb"):
        assert values[store]["image"] == compose[store]["image"]
    assert f"TRITON_TAG={values['image']['tag']}\n" in (PROJECT / ".env.example").read_text()


def test_a_drain_leaves_a_replica_and_others_are_kept_out():
    values = YAML(typ="safe").load(CHART / "values.yaml")
    assert values["replicas"] > values["disruptionBudget"]["minAvailable"]
    assert values["autoscaling"]["minReplicas"] > values["disruptionBudget"]["minAvailable"]
    for policy in kind("cpu", "NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    (stores,) = [one for one in kind("cpu", "NetworkPolicy") if one["metadata"]["name"] == "pm-stores"]
    assert stores["spec"]["egress"] == []


def test_it_scales_by_requests_that_wait_and_by_how_long_they_do():
    (hpa,) = kind("hpa", "HorizontalPodAutoscaler")
    assert [metric["pods"]["metric"]["name"] for metric in hpa["spec"]["metrics"]] == [
        "product_match_pending_requests",
        "product_match_queue_microseconds",
    ]
    (keda,) = kind("keda on a gpu", "ScaledObject")
    queries = [trigger["metadata"]["query"] for trigger in keda["spec"]["triggers"]]
    assert "nv_inference_pending_request_count" in queries[0]
    assert "nv_inference_queue_duration_us" in queries[1]
    for name in ("hpa", "keda on a gpu"):
        (deployment,) = kind(name, "Deployment")
        assert "replicas" not in deployment["spec"]
        assert not kind(name, "HorizontalPodAutoscaler") or not kind(name, "ScaledObject")
    assert not kind("cpu", "HorizontalPodAutoscaler")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "give encoder.image or encoder.claim"),
        ({"encoder": {"image": "a", "claim": "b"}}, "are both given; keep one"),
        ({**IMAGE, "qdrant": {"enabled": False}}, "give host:port of your Qdrant's gRPC"),
        ({**IMAGE, "profile": "tpu"}, "profile"),
        ({**IMAGE, "replica": 2}, "replica"),
        ({**IMAGE, "existingSecret": ""}, "existingSecret"),
        ({**IMAGE, "image": {"digest": "latest"}}, "digest"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, words):
    with pytest.raises(helm_python.HelmError, match=words):
        helm_python.Chart.load(CHART).render(values, name="pm", namespace="shop")
