"""Writes the chart's values.schema.json: types from values.yaml, and what a type cannot say from the rules below.

    deploy/helm/make_schema.py [--check]     --check: exit 1 where the file differs
"""
import json
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent / "chunkkv"
SCHEMA = CHART / "values.schema.json"

# Kubernetes' own objects, which its API server checks.
OPEN_OBJECTS = {"localSocket.volume", "service.annotations", "resources", "serviceAccount.annotations",
                "podSecurityContext", "securityContext", "podLabels", "podAnnotations", "nodeSelector", "affinity",
                "serviceMonitor.labels", "prometheusRule.labels", "dashboard.labels"}
OBJECT_LISTS = {"tolerations", "networkPolicy.clients", "networkPolicy.monitoring", "networkPolicy.egress",
                "extraVolumes", "extraVolumeMounts"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
SIZE = {"type": ["string", "integer"], "pattern": "^[0-9]+ *([KMGT]i?)?B?$", "minimum": 0}
COUNT = {"type": "integer", "minimum": 0}
FLAG = {"type": "boolean"}
TEXT = {"type": "string"}

RULES = {
    "mode": {"enum": ["statefulset", "daemonset"]},
    "replicas": COUNT,
    "image.repository": {"minLength": 1},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": {"items": TEXT},
    "gpu.resourceName": {"pattern": "^[a-z0-9.-]+/[A-Za-z0-9._-]+$"},
    "gpu.count": {"minimum": 1},
    "localSocket.users": {"items": COUNT},
    "service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "service.port": PORT,
    "admin.port": PORT,
    "terminationGracePeriodSeconds": {"minimum": 10},
    "topologySpread": {"enum": ["ScheduleAnyway", "DoNotSchedule", ""]},
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"]},
    "serviceMonitor.interval": {"pattern": "^[0-9]+(ms|s|m|h)$"},
}

# The server's options that values set directly; the others are set by the chart, or make no sense in a container.
OPTIONS = {
    "audience": TEXT, "reflection": FLAG,
    "host-memory": SIZE, "device-memory": SIZE, "max-entry-bytes": SIZE, "scrub-bytes-per-second": SIZE,
    "profiles": TEXT,
    "threads": COUNT, "device": {"type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]+)?)$"}, "device-sm-limit": COUNT,
    "device-regions": FLAG, "nccl": FLAG, "nccl-library": TEXT, "max-channels": COUNT, "max-channels-of-tenant": COUNT,
    "idle-timeout-ms": COUNT, "max-rpc-ms": COUNT, "max-streams": COUNT, "max-connections": COUNT,
    "log-level": {"enum": ["debug", "info", "warning", "error"]}, "trace-endpoint": TEXT,
}
TYPES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


def schema_of(value, path):
    if path == "options":
        return {"type": "object", "properties": OPTIONS, "additionalProperties": False}
    schema = {"type": TYPES[type(value)]}
    if path in OBJECT_LISTS:
        schema["items"] = {"type": "object"}
    if isinstance(value, dict) and path not in OPEN_OBJECTS:
        schema["properties"] = {name: schema_of(inner, f"{path}.{name}" if path else name)
                                for name, inner in value.items()}
        schema["additionalProperties"] = False
    return schema | RULES.get(path, {})


def main():
    schema = schema_of(yaml.safe_load((CHART / "values.yaml").read_text()), "")
    schema["properties"]["global"] = {"type": "object"}  # Helm's own, of a chart that has this one
    text = json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of chunkkv", **schema},
                      indent=1) + "\n"
    if sys.argv[1:] == ["--check"]:
        sys.exit(SCHEMA.read_text() != text)
    SCHEMA.write_text(text)


if __name__ == "__main__":
    main()
