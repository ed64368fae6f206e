"""What of the Hub's cache on this machine holds weights, found without asking the network."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from botzoo.models.pretrained import WEIGHTS


def cached_file(hub_id: str, name: str = "model.safetensors", revision: str | None = None) -> Path | None:
    """Return a file of a repository in the cache, None where it is not there."""
    try:
        found = try_to_load_from_cache(hub_id, name, revision=revision)
    except ValueError:  # the name of no repository
        return None
    return Path(found) if isinstance(found, str) else None


def work_offline() -> list[str]:
    """Return the weights of the table that need no network: the embedded ones and what is cached."""
    return [name for name, weights in WEIGHTS.items() if weights.hub_id is None or cached_file(weights.hub_id)]
