"""The sections that the cards of all tasks share, and the sentences that those of one task are made with.

Every figure is from a ``RunRecord``. What is not known is said to be unknown or left out; nothing is left to fill in.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from botzoo.models.licence import forbids_commerce, inherited_license
from botzoo.models.preprocessing import Size
from botzoo.options.config import TrainConfig
from botzoo.options.facts import effective
from botzoo.results.card.usage import HERE, HERE_FOR_TRANSFORMERS, HERE_NOTE, Reading, needs_botzoo, usage_code
from botzoo.results.per_class import FULL_TABLE, Figures
from botzoo.results.record import RunRecord
from botzoo.training.plan import decay_words
from botzoo.training.soup import outcome_of
from botzoo.training.steps.optimizer import has_momentum
from botzoo.util.markdown import code, code_block, escaped, link, quoted, table
from botzoo.util.nested import flat
from botzoo.util.text import and_list, counted, duration, epochs_words

OPEN_LICENCE = re.compile(r"The licence of these weights is not set, since (.+)\. Choose one before publishing.*")


def opening_of(record: RunRecord, kind: str, does: str, harm: str) -> Iterator[str]:
    """Yield the section on what the network is: its ``kind``, what it ``does``, and the ``harm`` it is not for."""
    network, names = record.facts["network"], record.class_names
    some = ", ".join(escaped(name) for name in names[:20])
    rest = f", and {len(names) - 20} more (all in config.json)" if len(names) > 20 else ""
    loaded = network["loaded"] is not None
    start = f"fine-tuned from {code(_short(network['source']))}" if loaded else "trained from random weights"
    yield f"# {escaped(record.facts['name'])}"
    yield (
        f"{kind}: {code(network['architecture'])} ({network['parameters']:,} parameters), {start} on {_data_name(record)}. "
        f"It takes {_images(record)} at {record.size} pixels and {does}: {some}{rest}."
    )
    start = ", and a start for fine-tuning on others" if record.task.whole_image else ""
    yield f"It is for images like those it learned from{start}. It is not for {harm}."


def _images(record: RunRecord) -> str:
    channels = record.reading.decoding.channels
    return {1: "grey images", 3: "RGB images"}.get(channels, f"images of {channels} channels")


def use(record: RunRecord) -> Iterator[str]:
    """Yield the section with the code that asks the network about an image."""
    config, ours = record.model_config, needs_botzoo(record.model_config)
    first = "import botzoo  # names the network to timm\n" if ours else ""
    yield "## How to use it"
    if not record.facts["network"]["known"]:
        yield (
            "The network is code of its owner's, which is not in this folder. Make it, then load the weights with "
            '`model.load_state_dict(safetensors.torch.load_file("model.safetensors"))`; how images are prepared, and '
            "the names of the classes, are in config.json."
        )
        return
    if not record.task.whole_image:
        yield from _use_of_places(record)
        return
    if ours:
        yield f"timm has no {code(config['architecture'])}: `pip install botzoo`, and import it first."
    elif config["model_args"] or config["architecture"] != record.facts["network"]["architecture"]:
        args = ", ".join(f"{key}={value!r}" for key, value in config["model_args"].items())
        given = f" with {code(args)}" if args else ""
        yield f"To timm the network is {code(config['architecture'])}{given}; loading it needs no botzoo."
    classes = len(record.class_names)
    reading = record.reading
    fitted = {"temperature": record.temperature, "threshold": record.threshold}
    usage = usage_code(HERE, classes, ours=ours, task=record.task, reading=reading, **fitted)
    yield f"```python\n{usage}```"
    if remarks := " ".join(reading.remarks()):
        yield remarks
    if reading.own or reading.decoding.channels != 3:
        yield HERE_NOTE.rstrip()
    else:
        given = '"photo.jpg"' if reading == Reading() else "image"
        yield f"{HERE_NOTE}With transformers{', of the image as above' if given == 'image' else ''}:"
        yield f"""```python
{first}from transformers import pipeline

print(pipeline("image-classification", {HERE_FOR_TRANSFORMERS})({given}))
```"""
    yield f"To fine-tune it on your own images: `botzoo-finetune --model {HERE} --dataset FOLDER`."


def _use_of_places(record: RunRecord) -> Iterator[str]:
    """Yield how a network is used that timm and transformers do not have."""
    yield "Neither timm nor transformers has such a network: `pip install botzoo`."
    usage = usage_code(HERE, len(record.class_names), ours=True, task=record.task, reading=record.reading)
    yield f"```python\n{usage}```"
    yield f"{HERE_NOTE}`botzoo predict FOLDER --model {HERE} --output ANSWERS` draws what it finds on the images in a folder."


def data_section(record: RunRecord) -> Iterator[str]:
    """Yield the section on the images of the run."""
    facts, data = record.facts, record.facts["data"]
    yield "## Data"
    yield table(
        ("split", "images", f"SHA-256 of {data['hashed']}"),
        ((role, f"{facts['images'][role]:,}", f"`{sha}`") for role, sha in facts["fingerprints"].items()),
    )
    notes = [f"{note[0].upper()}{note[1:]}." for note in map(escaped, data["notes"])]
    how = ", class by class," if record.task.one_label else ""
    drawn = f"They were drawn at random{how} with seed {record.config.split_seed}."
    notes.append(drawn if data["set_aside"] else "The validation split is the data set's own.")
    if lost := data["left_out"]:
        notes.append(f"Left out as unreadable: {counted(lost, 'image')}.")
    if replaced := data.get("replaced"):  # which an older run does not say
        notes.append(f"Unreadable, so that others were trained on in their place: {counted(len(replaced), 'image')}.")
    yield " ".join(notes)


def _data_name(record: RunRecord) -> str:
    data = record.facts["data"]
    if data["hub_id"]:
        return link(data["hub_id"], f"https://huggingface.co/datasets/{data['hub_id']}")
    if "data" in record.facts.get("own", ()):
        return "images that were in memory"
    if data["name"] == "digits":
        return "digits (8 x 8 pixel digits that come with scikit-learn)"
    return f"the images in a folder named {escaped(data['title'])}"


def conditions(record: RunRecord) -> str:
    """Return how images were prepared for the figures, and in which arithmetic."""
    p = record.facts["input"]
    seen = {"squash": "squashed image", "border": "padded image"}.get(p["crop_mode"], "center crop")
    crop = f"One {seen} at {record.size.px} after resizing ({p['interpolation']}, crop {p['crop_pct']:g})"
    return f"{crop}, in {record.facts['precision']['name']}"


def picture(record: RunRecord, words: str, name: str) -> Iterator[str]:
    """Yield a picture of the model folder, where it is there."""
    if (record.model_folder / name).exists():  # drawing it may have failed
        yield f"![{words}]({name})"


def learning_curve(record: RunRecord) -> Iterator[str]:
    """Yield the picture of the learning curve where there is one."""
    measure = record.task.headline.measure if record.criterion.metric is None else record.criterion.figure
    words = f"Loss and validation {measure} over the epochs"
    yield from picture(record, words, "learning_curve.png")


def looked_at(record: RunRecord) -> str:
    """Return what the evaluated images were used for before, and what the validation images say where those are others."""
    lines = [*record.of("start"), *record.of("validation")]
    chosen = [line for line in lines if line["epoch"] == record.facts["best_epoch"]]
    if record.chosen_on_split or not chosen:
        return chosen_remark(record)
    by, averaged = record.criterion, record.soup if record.averaged else None
    gave = averaged.text(averaged.score) if averaged is not None else by.text(chosen[0][by.key])
    how = "," if by.metric is None else f", by {by.figure},"
    return f"{chosen_remark(record)} The validation images, which did{how} gave {gave}."


def chosen_remark(record: RunRecord) -> str:
    """Return what the evaluated images were used for before."""
    what = "the epochs that were averaged" if record.averaged else "the epoch"
    if record.chosen_on_split:
        by = "" if record.criterion.metric is None else f" by {record.criterion.figure}"
        return f"These images also chose {what}{by}, so expect a little less on new ones."
    return f"These images were looked at once, at the end; they did not choose {what}."


def training(record: RunRecord) -> Iterator[str]:
    """Yield the section on how the network was trained."""
    facts, schedule, network = record.facts, record.facts["schedule"], record.facts["network"]
    best, teacher = facts["best_epoch"], facts.get("teacher")
    decay = decay_words(record.config, schedule["epochs"], record.criterion.figure)
    warm = f"{counted(schedule['warmup_steps'], 'step')} of warmup, then " if schedule["warmup_steps"] else ""
    early = "; it stopped early, without a gain for some time" if facts["steps"] < schedule["total_steps"] else ""
    cut = ", which was cut short" if best > schedule["epochs"] else ""
    yield "## Training"
    if own := facts.get("own"):
        yield (
            f"It was trained from Python with {and_list(own)} of its owner's, which the command below does not have: it "
            "cannot be repeated from this folder alone."
        )
    yield code_block(without_folders(facts["command"]), "sh")
    if network["loaded"] is not None:
        source, loaded = _short(network["source"]), counted(network["loaded"], "tensor")
        yield f"It started from {code(source)}: {loaded} from there, {network['new']:,} new."
    if teacher is not None:
        constants, license = record.config.distill, teacher["license"]
        licensed = f"licence {code(license)}" if license not in (None, "unknown") else "of unknown licence"
        yield (
            f"It learned from a teacher too (distillation, T = {constants.temperature:g}, weight {constants.weight:g}): "
            f"{code(_short(teacher['name']))} ({teacher['parameters']:,} parameters, {licensed}), which answered to the same "
            f"images at {Size.of(teacher['size']).px}. SHA-256 of its tensors: `{teacher['sha256']}`."
        )
    if (soup := record.soup) is not None:
        tried = ", ".join(str(trial.epochs[-1]) for trial in soup.trials)
        measured = soup.taken and network["trained_norms"]
        statistics = "; BatchNorm's statistics, where it was trained, were measured anew" if measured else ""
        yield (
            "Greedy [model soup](https://arxiv.org/abs/2203.05482) of the best epochs, each kept where the validation split "
            f"gains: to epoch {soup.ingredients[0].epoch} were added, one by one, {tried}. In the end "
            f"{outcome_of(soup)}{statistics}."
        )
    those = f"after epoch {best}{cut}" if best else f"of {record.kept}"
    best_ones = (
        "the last, as the file of the best was damaged"
        if facts.get("best_lost")
        else "the best on the validation split"
    )
    kept = f"weights kept are those {those}, {best_ones}"
    after = f"best epoch on the validation split was {best}{cut}" if record.averaged else kept
    if record.gain is not None:
        yield f"What training gained: {record.gain}."
    precision = f"{facts['precision']['name']} ({facts['precision']['reason']})"
    yield (
        f"{facts['steps']:,} of {counted(schedule['total_steps'], 'planned step')} ({epochs_words(schedule['epochs'])})"
        f"{early}. The {after}. Learning rate {schedule['peak']:.4g}: {warm}{decay}. Arithmetic in {precision}, weights in "
        "fp32. The settings as they took effect:"
    )
    if edited := facts.get("edited"):
        yield (
            f"The settings were changed by hand after step {and_list(edited)}: these are the last ones, and what held before "
            "is not known."
        )
    settings = effective(TrainConfig, flat(record.options))
    if not has_momentum(record.config.optimizer):
        settings.pop("optim.momentum", None)  # effective() does not know the optimizers
    if teacher is not None:
        settings["distillation"] = teacher["name"]
    shown = {key: _short(value) if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    yield table(("setting", "value"), ((code(key), code(value)) for key, value in shown.items()))
    recipe = f"They are options in recipe.yaml too, for `{record.program} --config recipe.yaml`."
    if refits := facts.get("budget", {}).get("refits"):  # the recipe cannot say that the number of steps changed
        steps = ", then ".join(f"{steps:,} from step {step:,} on" for step, steps in refits)
        recipe += (
            f" The steps were counted anew on the way to keep to the time: {steps}. A training by the recipe has the last "
            "number of them from its start, so its learning rate may be another until then."
        )
    yield recipe
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    yield (
        f"It took {duration(facts['seconds'])} on {escaped(facts['hardware'])} and was finished on {facts['finished']}, "
        f"with Python {facts['python']}, {versions}."
    )


def limits(lines: Iterable[str]) -> Iterator[str]:
    """Yield the section on what it cannot do: ``lines``, and those that hold for every run."""
    always = (
        "One run with one seed; another seed gives a somewhat different figure.",
        "It was measured on images of the same source as those it learned from; how it does on others is not known.",
    )
    yield "## Limits and known failures"
    yield "\n".join(f"- {line}" for line in (*lines, *always))


def roughness(record: RunRecord, figures: Sequence[Figures], nouns: str) -> Iterator[str]:
    """Yield what too few images leave open: of the headline figure, and of single ``nouns``, "classes" or "labels"."""
    low, high = record.evaluation.interval()
    if high - low > 2:
        images, half = counted(len(record.evaluation), "image"), (high - low) / 2
        measure = record.task.headline.measure
        yield f"By {images} the {measure} is known to about ± {half:.1f} points; smaller differences mean nothing."
    if (fewest := min(figures, key=lambda f: f.images)).images < 50:
        rough = counted(fewest.images, "image")
        yield f"Figures of single {nouns} are rough: {quoted(fewest.name)} has {rough} in this split."


def never_answered(figures: Sequence[Figures], answered: str) -> Iterator[str]:
    """Yield the classes that images have and that were never ``answered``, which says how."""
    for f in figures:
        if not f.answers and len(figures) <= FULL_TABLE:
            yield f"It never {answered} {quoted(f.name)}, though it saw {counted(f.images, 'image')} of it."


def imbalance(record: RunRecord, so: str) -> Iterator[str]:
    """Yield the commonest and the rarest class in training where one has twice the images of the other; ``so`` is before."""
    names, counts = record.class_names, record.facts["data"]["class_counts"]
    if counts is not None and max(counts) >= 2 * min(counts):
        many, few = (quoted(names[counts.index(most)]) for most in (max(counts), min(counts)))
        yield f"{so}: {max(counts):,} of {many}, {min(counts):,} of {few}."


def licence(record: RunRecord) -> Iterator[str]:
    """Yield the section on the licence of the weights."""
    license, start, of_data = record.license, record.facts["network"], record.facts["data"]["license"]
    extra = ", which forbids commercial use" if forbids_commerce(license) else ""
    yield "## Licence"
    if license is None:  # in the words of OPEN_LICENCE, by which publishing finds them
        why = _why_open(record)
        yield f"The licence of these weights is not set, since {why}. Choose one before publishing, with `--license`."
    elif inherited_license(start["license"], of_data) is None:
        yield f"{code(license)}{extra}: chosen by who trained it, since {_why_open(record)}."
    else:
        started = code(_short(start["source"]))
        yield f"{code(license)}{extra}: the licence of the weights that it started from, {started}."
    if re.search(r"in(1k|12k|21k|22k)|tin\d", start["source"]):
        yield (
            "The first weights were trained on ImageNet or a part of it, whose terms of access (non-commercial "
            "research) are separate from the licence of a weight file."
        )
    terms = code(of_data) if of_data else "not known to this card: look it up where the images come from"
    yield f"The licence of the data set is separate; that of {_data_name(record)} is {terms}."


def _why_open(record: RunRecord) -> str:
    """Return why the licence of the trained weights has to be chosen."""
    start = record.facts["network"]
    if start["loaded"] is None:
        return "it started from random weights"
    source = code(_short(start["source"]))
    if start["license"] in (None, "unknown"):
        return f"that of {source} is not known"
    return f"that of the data forbids commercial use, which {code(start['license'])}, that of {source}, allows"


def credit(record: RunRecord) -> Iterator[str]:
    """Yield the section on whose work it builds upon."""
    start = record.facts["network"]
    yield "## Credit"
    lines = [
        "Method: T. He, Z. Zhang, H. Zhang, Z. Zhang, J. Xie, M. Li, *Bag of Tricks for Image Classification with "
        "Convolutional Neural Networks*, CVPR 2019, [arXiv:1812.01187](https://arxiv.org/abs/1812.01187).",
        "Networks and layers: [timm](https://github.com/huggingface/pytorch-image-models) by Ross Wightman and others.",
    ]
    if "gluon" in start["source"]:
        lines.append("First weights: [GluonCV](https://github.com/dmlc/gluon-cv), converted by timm.")
    elif hub_id := start["base_model"]:
        lines.append(f"First weights: {link(hub_id, f'https://huggingface.co/{hub_id}')}.")
    lines.append("Trained with botzoo.")
    yield "\n".join(f"- {line}" for line in lines)


def without_folders(command: str) -> str:
    """Return a command with absolute paths cut to their last part: where something lay stays private."""
    path = re.compile(r"((?:--[\w.-]+=)?(?:local-dir:)?)([/~].*)", re.S)
    words = shlex.split(command)
    later = re.compile(r"""([,\["']\s*)([/~][^\],"']*)""")  # in a list
    kept = [found[1] + Path(found[2]).name if (found := path.fullmatch(word)) else word for word in words]
    kept = [later.sub(lambda found: found[1] + Path(found[2]).name, word) for word in kept]
    return command if kept == words else shlex.join(kept)  # as it was quoted, where nothing is cut


def _short(source: str) -> str:
    """Return ``source``, of a path its last two parts alone."""
    kind, colon, rest = source.rpartition(":")
    local = kind == "local-dir" or source.endswith(".safetensors")
    return f"{kind}{colon}{'/'.join(Path(rest).parts[-2:])}" if local else source
