"""Tenant files, and clients that speak for a tenant."""

import hashlib
import json
from pathlib import Path

import chunkkv


def token_entry(token: str, **more) -> dict:
    return {"sha256": hashlib.sha256(token.encode()).hexdigest(), **more}


def tenant(name: str, *tokens: str, **more) -> dict:
    return {"name": name, "tokens": [token_entry(token) for token in tokens], **more}


def write_tenants(path: Path, *accounts: dict, groups=()) -> Path:
    """The file appears whole, as a Kubernetes secret's does."""
    content = {"format": "chunkkv.tenants", "version": 1, "tenants": list(accounts), "share_groups": list(groups)}
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.rename(path)
    return path


def client_with(address: str, token: str | None = None, group: str | None = None, **options) -> chunkkv.Client:
    metadata = [("authorization", f"Bearer {token}")] if token is not None else []
    if group is not None:
        metadata.append(("chunkkv-share-group", group))
    return chunkkv.Client(address, metadata=metadata, **options)
