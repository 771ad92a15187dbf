"""ChunkKV in vLLM: prefixes come back from the service instead of being computed again.

    vllm serve MODEL --kv-transfer-config '{"kv_connector": "ChunkKVConnector", "kv_role": "kv_both",
        "kv_connector_module_path": "chunkkv.vllm", "kv_connector_extra_config": {"address": "127.0.0.1:7421"}}'

What it does, its options and its limits: README.md, beside this file.
"""

from .connector import ChunkKVConnector

__all__ = ["ChunkKVConnector"]
