"""Which machine a run is on, by what the machine says itself."""

import datetime
import subprocess

from gpu.lines import MACHINE


def describe(device):
    """{"bench": "machine", "name", "date", ...}: GPU, multiprocessors, memory, driver, torch and its CUDA."""
    import torch  # report.py runs without

    found = {**_found("cpu"), "torch": torch.__version__}
    if torch.device(device).type != "cuda":
        return found
    properties = torch.cuda.get_device_properties(device)
    driver = query("driver_version", f"GPU-{properties.uuid}")
    return {**found, "name": properties.name, "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory, "driver": driver or "unknown", "cuda": torch.version.cuda}


def describe_briefly():
    """The same where PyTorch said nothing: the first GPU's name and the date."""
    return _found(query("name") or "unknown GPU")


def query(field, gpu="0"):
    """What nvidia-smi says of a GPU's `field`; None where it says nothing. gpu: an index, or GPU-<uuid>."""
    command = ["nvidia-smi", f"--id={gpu}", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = done.stdout.strip()
    return said if done.returncode == 0 and said and not said.startswith("[") else None


def _found(name):
    return {"bench": MACHINE, "name": name, "date": datetime.date.today().isoformat()}
