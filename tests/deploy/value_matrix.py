"""Values that the chart must render well, each by a name: both modes, with and without what can be turned on."""

SERVER_TLS = {"tls": {"existingSecret": "server-tls"}}
EVERYTHING_ON = {
    "replicas": 3,
    "tls": {"existingSecret": "server-tls", "clientCaSecret": "clients"},
    "tenants": {"existingSecret": "tenants"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "imagePullSecrets": ["registry"],
    "gpu": {"runtimeClassName": "nvidia", "count": 2},
    "options": {"host-memory": "16GiB", "log-level": "debug", "device": "cuda:0", "audience": "prod", "threads": 8},
    "resources": {"requests": {"cpu": "8"}, "limits": {"memory": "24Gi"}},
    "nodeSelector": {"accelerator": "h100"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "accelerator", "operator": "Exists"}]}]}}},
    "topologySpread": "DoNotSchedule",
    "podLabels": {"team": "inference"},
    "podAnnotations": {"example.com/owner": "inference"},
    "service": {"annotations": {"example.com/internal": "true"}},
    "networkPolicy": {"egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": 4318}]}]},
    "extraVolumes": [{"name": "profiles", "configMap": {"name": "profiles"}}],
    "extraVolumeMounts": [{"name": "profiles", "mountPath": "/etc/chunkkv/profiles"}],
    "test": {"tlsSecret": "client-tls", "tokenSecret": "token"},
}
LOCAL_SOCKET = {"localSocket": {"enabled": True, "mapEntries": True, "users": [1000, 1001]}}
NO_GPU = {"gpu": {"enabled": False}}

MATRIX = {
    "tls": SERVER_TLS,
    "insecure": {"insecureListen": True},
    "tls-without-client-certificates": {
        "tls": {"existingSecret": "server-tls", "clientCertificates": False}, "insecureListen": True},
    "no-gpu": SERVER_TLS | NO_GPU,
    "another-gpu": SERVER_TLS | {"gpu": {"resourceName": "example.com/gpu.shared", "count": 4}},
    "three-replicas": SERVER_TLS | {"replicas": 3},
    "no-replica": SERVER_TLS | {"replicas": 0},
    "everything": EVERYTHING_ON,
    "bare": SERVER_TLS | NO_GPU | {
        "serviceAccount": {"create": False}, "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False}, "topologySpread": "", "resources": {}},
    "nobody-admitted": SERVER_TLS | {"networkPolicy": {"clients": [], "monitoring": []}},
    "daemonset": SERVER_TLS | {"mode": "daemonset"},
    "daemonset-socket-of-node": SERVER_TLS | LOCAL_SOCKET | {"mode": "daemonset"},
    "daemonset-socket-of-pod": SERVER_TLS | NO_GPU | {
        "mode": "daemonset", "localSocket": {"enabled": True, "volume": {"hostPath": None, "emptyDir": {}}}},
    "daemonset-everything": EVERYTHING_ON | LOCAL_SOCKET | {"mode": "daemonset", "replicas": 1},
    "load-balancer": SERVER_TLS | {"service": {"type": "LoadBalancer", "port": 443}, "fullnameOverride": "cache"},
}
