"""Mistakes in values that the chart refuses, with a message that names the value."""
import pytest
from value_matrix import NO_GPU, SERVER_TLS

MISTAKES = {
    "no-tls": ({}, "tls.existingSecret is empty"),
    "no-client-certificates": (
        {"tls": {"existingSecret": "t", "clientCertificates": False}}, "tls.clientCertificates is false"),
    "unknown-mode": (SERVER_TLS | {"mode": "deployment"}, "mode"),
    "unknown-value": (SERVER_TLS | {"replicaCount": 3}, "replicaCount"),
    "unknown-value-inside": (SERVER_TLS | {"gpu": {"limit": 1}}, "limit"),
    "unknown-option": (SERVER_TLS | {"options": {"host-memroy": "4GiB"}}, "host-memroy"),
    "option-set-by-chart": (SERVER_TLS | {"options": {"listen": "0.0.0.0:1"}}, "listen"),
    "wrong-type": (SERVER_TLS | {"replicas": "three"}, "replicas"),
    "size": (SERVER_TLS | {"options": {"host-memory": "4 gigs"}}, "options.host-memory"),
    "port": (SERVER_TLS | {"service": {"port": 70000}}, "service.port"),
    "same-port": (SERVER_TLS | {"admin": {"port": 7421}}, "service.port and admin.port must differ"),
    "socket-of-statefulset": (
        SERVER_TLS | {"localSocket": {"enabled": True}}, "localSocket.enabled needs mode=daemonset"),
    "mapped-without-socket": (SERVER_TLS | {"localSocket": {"mapEntries": True}}, "localSocket.mapEntries needs"),
    "daemonset-replicas": (SERVER_TLS | {"mode": "daemonset", "replicas": 3}, "replicas is for mode=statefulset"),
    "gpu-for-cpu": (SERVER_TLS | {"options": {"device": "cpu"}}, "options.device is cpu"),
    "cuda-without-gpu": (SERVER_TLS | NO_GPU | {"options": {"device": "cuda:0"}}, "options.device is cuda:0"),
    "gpu-resource": (SERVER_TLS | {"gpu": {"resourceName": "gpu"}}, "gpu.resourceName"),
    "too-little-memory": (
        SERVER_TLS | {"options": {"host-memory": "64GiB"}}, "resources.limits.memory (6Gi) must exceed"),
    "digest": (SERVER_TLS | {"image": {"digest": "latest"}}, "image.digest"),
}


@pytest.mark.parametrize("values, message", MISTAKES.values(), ids=MISTAKES.keys())
def test_refused(helm_template, values, message):
    done = helm_template(values)
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize("limit, is_enough", [("5Gi", True), ("5119Mi", False), (5368709120, True), ("5G", False),
                                              ("5.5Gi", True)])
def test_memory_beyond_the_store(helm_template, limit, is_enough):
    done = helm_template(SERVER_TLS | {"resources": {"limits": {"memory": limit}}})
    assert (done.returncode == 0) == is_enough, done.stderr
