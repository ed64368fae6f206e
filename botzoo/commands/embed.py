"""Weights that come with the package, made of a finished run: halved, evaluated as they are then, with their card.

    python -m botzoo.commands.embed RUN

Everything that card and package say is measured on the rounded weights, by the code that finishes every run.
"""

import json
import re
import shutil
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from botzoo.api import run_training
from botzoo.errors import ConfigError
from botzoo.hub.package import pack
from botzoo.models.foreign import temperature_in
from botzoo.models.pretrained import CARDS, EMBEDDED, WEIGHTS_DIR
from botzoo.options.command_line import load_config
from botzoo.options.config import TrainConfig
from botzoo.results.card.claim import claim_in_card
from botzoo.results.card.usage import usage_code
from botzoo.results.summary import print_to_terminal
from botzoo.training.recording.checkpoint import BEST, load_newest, load_weights, save, save_weights
from botzoo.util.files import parse_json, read_sealed, sha256_of, take_mode

PICTURES = ("confusion.png", "learning_curve.png", "per_class.csv")

TRANSFER = "transfer.md"
"""A section that the card gets besides, where its folder has it: how the weights serve other data."""

USAGE = """The weights come inside the package, in fp16, so nothing is downloaded:

```python
{code}```

They are meant to be fine-tuned: `botzoo-finetune` starts from them unless told otherwise.
"""


def embed(run: Path, license: str, weights: Path = WEIGHTS_DIR, cards: Path = CARDS, name: str = EMBEDDED) -> None:
    """Put the model of a finished run into the package under ``name``, and its card among the cards.

    The run is left as it is.

    Args:
        weights: folder of the packaged weights: NAME.safetensors, float16; NAME.json with ``label_names``, ``claim``, the
            figure that the card gives, and ``calibration``, as in config.json; NAME.yaml, the options of the run.
        cards: folder of the cards: NAME.md and, in NAME/, its pictures, and transfer.md where there is more to say.

    Raises:
        ConfigError: it has not finished, is an average that --soup made, or rejects images.
    """
    if not (run / "model" / "README.md").is_file():
        raise ConfigError(f"The run in {run} has not finished: go on with it by --resume {run}.")
    config = load_config(run / "config.yaml", TrainConfig)
    if config.soup is not None:  # the weights would be averaged anew, after they were rounded
        raise ConfigError(f"The run in {run} is an average of epochs (--soup): give one without.")
    if config.reject is not None:  # what comes with the package has no place for the threshold
        raise ConfigError(f"The run in {run} rejects images (--reject): give one without.")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copytree(run, Path(temporary) / name))
        shutil.rmtree(copy / "model")  # so that resuming the copy finishes it anew: evaluation, card and pictures
        tensors = load_weights(copy / BEST)
        digest = save_weights(copy / BEST, {key: _halved(t).to(t.dtype) for key, t in tensors.items()})
        if (newest := load_newest(copy / BEST.parent, torch.device("cpu"))) is not None:  # it names the weights
            save(copy / BEST.parent, replace(newest[0], best_digest=digest), newest[1], keep=1)
        command = parse_json(read_sealed(copy / "run.json"))["command"]
        run_training(config, command=command, resume=copy)
        _pack(copy, license, weights, cards, name)


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def _pack(run: Path, license: str, weights: Path, cards: Path, name: str) -> None:
    model, file, pictures = run / "model", weights / f"{name}.safetensors", cards / name
    tensors = load_file(model / "model.safetensors")
    save_file({key: _halved(tensor) for key, tensor in tensors.items()}, file, {"format": "pt"})
    take_mode(file, model / "config.json")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    names, temperature = config["label_names"], temperature_in(config)
    usage = USAGE.format(code=usage_code(name, len(names), ours=True, temperature=temperature))
    # Made for the Hub; what differs in a package is replaced below. There the temperature stays beside the weights.
    text = pack(run, f"botzoo/{name}", license, fold_temperature=False).card
    text = re.sub(r"weights_sha256: \w+", f"weights_sha256: {sha256_of(file)}", text)
    text = re.sub(r"(?<=## How to use it\n\n).*?(?=\n## )", lambda _: usage, text, count=1, flags=re.S)
    text = re.sub(rf"\]\(({'|'.join(map(re.escape, PICTURES))})\)", rf"]({name}/\1)", text)
    pictures.mkdir(exist_ok=True)
    (cards / f"{name}.md").write_text(with_transfer(text, pictures / TRANSFER), encoding="utf-8")
    for picture in PICTURES:
        if (model / picture).is_file():  # they could not all be drawn everywhere
            shutil.copyfile(model / picture, pictures / picture)
    shutil.copyfile(model / "recipe.yaml", file.with_suffix(".yaml"))
    claim = claim_in_card(cards / f"{name}.md")
    assert claim is not None
    beside = {"label_names": names, "claim": asdict(claim)}
    beside |= {"calibration": {"temperature": temperature}} if temperature is not None else {}
    file.with_suffix(".json").write_text(json.dumps(beside, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def with_transfer(card: str, section: Path) -> str:
    """Return a card with what the file ``section`` says, where there is one, before its section on training."""
    if not section.is_file():
        return card
    return card.replace("\n## Training\n", f"\n{section.read_text(encoding='utf-8').strip()}\n\n## Training\n", 1)


if __name__ == "__main__":
    print_to_terminal()
    embed(Path(sys.argv[1]), "apache-2.0")
