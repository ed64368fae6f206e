"""The Hub's cache on this machine, looked into without asking the network and without importing torch."""

from pathlib import Path


def cached_file(hub_id: str, revision: str | None = None) -> Path | None:
    """Return the weights of a repository in the cache, None where they are not there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(hub_id, "model.safetensors", revision=revision)
    except ValueError:  # the name of no repository
        return None
    return Path(found) if isinstance(found, str) else None
