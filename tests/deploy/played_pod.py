"""A pod's container as podman runs it: the command, arguments, user and volumes that the chart gave it."""
from pathlib import Path


class Volumes:
    """What secrets and config maps of a namespace hold, as the files that a kubelet would make of them."""

    def __init__(self, folder: Path, contents: dict[str, dict[str, str | bytes]]):
        self._folder, self._contents = folder, contents

    def __setitem__(self, name: str, content: dict[str, str | bytes]):
        self._contents[name] = content

    def mounts(self, pod: dict, container: dict) -> list[str]:
        """podman's arguments for a container's volume mounts."""
        sources = {volume["name"]: volume for volume in pod.get("volumes", ())}
        arguments = []
        for mount in container.get("volumeMounts", ()):
            assert mount.get("readOnly"), mount
            arguments += ["--volume", f"{self._write(sources[mount['name']])}:{mount['mountPath']}:ro"]
        return arguments

    def _write(self, volume: dict) -> Path:
        folder = self._folder / volume["name"]
        folder.mkdir(exist_ok=True)
        source = volume.get("secret") or volume["configMap"]
        content = self._contents[source.get("secretName") or source["name"]]
        for item in source.get("items") or [{"key": key, "path": key} for key in content]:
            value = content[item["key"]]
            file = folder / item["path"]
            file.write_bytes(value if isinstance(value, bytes) else value.encode())
            file.chmod(0o444)
        return folder


def podman_arguments(pod: dict, image: str, volumes: Volumes) -> list[str]:
    """Everything after `podman run` and its options of this machine."""
    (container,) = pod["containers"]
    who, what = pod["securityContext"], container["securityContext"]
    arguments = ["--user", f"{who['runAsUser']}:{who['runAsGroup']}", "--network", "host"]
    if what["readOnlyRootFilesystem"]:
        arguments += ["--read-only", "--read-only-tmpfs=false"]
    if not what["allowPrivilegeEscalation"]:
        arguments += ["--security-opt", "no-new-privileges"]
    for capability in what["capabilities"]["drop"]:
        arguments += ["--cap-drop", capability]
    arguments += volumes.mounts(pod, container)
    if "command" in container:
        (program,) = container["command"]
        arguments += ["--entrypoint", program]
    return [*arguments, image, *container["args"]]
