"""What tests look for among rendered objects."""


def workload(objects):
    found = [item for (kind, _), item in objects.items() if kind in ("StatefulSet", "DaemonSet")]
    assert len(found) == 1
    return found[0]


def pod(objects):
    return workload(objects)["spec"]["template"]["spec"]


def container(objects):
    return pod(objects)["containers"][0]


def server_config(objects):
    configs = [item["data"]["server.toml"] for (kind, _), item in objects.items()
               if kind == "ConfigMap" and "server.toml" in item["data"]]
    assert len(configs) == 1
    return configs[0]


def kinds(objects):
    return sorted(kind for kind, _ in objects)
