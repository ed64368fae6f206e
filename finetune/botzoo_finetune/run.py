"""Fine-tuning: a training run of botzoo with the callbacks of transfer learning, or what is done instead of one."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from botzoo.api import all_callbacks, run_training
from botzoo.errors import ConfigError
from botzoo.experiments import repeats, search
from botzoo.options.facts import differing
from botzoo.training.callbacks import Callback
from botzoo.training.state import Own
from botzoo_finetune.auto import for_optimizer
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.doctor.check import QuickCheck, check
from botzoo_finetune.probing.compare import compare
from botzoo_finetune.probing.first_look import ChooseForData, probe_images
from botzoo_finetune.probing.fit import ChooseFit
from botzoo_finetune.probing.start import StartFromProbe
from botzoo_finetune.suggesting.suggest import suggest
from botzoo_finetune.transfer.head_only import FrozenFeatures
from botzoo_finetune.transfer.layers import Freeze, KeepStatistics, LayerDecay


def transfer(config: FinetuneConfig, given: Collection[str] = (), mode: str | None = None) -> list[Callback]:
    """Return the callbacks of transfer learning, in the order in which they act; arguments as of ``execute``."""
    frozen = config.freeze == "backbone"
    freeze = Freeze(config.freeze, config.unfreeze_every)
    choosing = config.auto and not (config.scratch or config.data.streaming)
    callbacks: list[Callback] = [ChooseFit()] if choosing else []
    callbacks += [ChooseForData([freeze])] if choosing and not frozen else []
    callbacks += [freeze, LayerDecay(), *([FrozenFeatures(config.views)] if frozen else [])]
    callbacks += [KeepStatistics()] if not (frozen or config.scratch) else []
    probed = [StartFromProbe(frozen, evaluates=mode is None)] if config.lp_ft and not config.scratch else []
    return [*callbacks, *probed, QuickCheck()]


def execute(
    config: FinetuneConfig,
    *,
    command: str,
    given: Collection[str] | None = None,
    resume: Path | None = None,
    mode: str | None = None,
    value: str = "",
    began: float | None = None,
    callbacks: Sequence[Callback] = (),
    own: Own | None = None,
    count: int = 50,
) -> Any:
    """Fine-tune as ``config`` says, write the card and say how good the result is; or do what ``mode`` says instead.

    Args:
        config, command, resume, began, callbacks, own: as of ``botzoo.api.run_training``.
        given: names of the options that ``config.auto`` leaves as they are, dotted where they stand in a group; by default
            those that differ from their defaults.
        mode: "check", "probe", "compare", "folds", "seeds", "search", "suggest", "dry_run" or "find_lr";
            None to train.
        value: what stands behind the flag of the mode: models to compare, how many folds, seeds or trials, the folder to
            suggest of.
        count: images to suggest.

    Returns the finished run, what the check, the probe, the comparison or the suggestion found, or None where nothing was
    to be kept.

    Raises:
        BotzooError: see ``botzoo.training.run.train``.
    """
    given = differing(config) if given is None else given
    if resume is None:  # the options of a run that goes on were chosen when it began
        config = for_optimizer(config, given)
    if mode in ("check", "probe", "compare", "folds", "suggest") and config.data.streaming:
        raise ConfigError(f"--{mode} looks at all images at once: leave --data.streaming out.")
    if mode == "check":
        return check(config, [Freeze(config.freeze, config.unfreeze_every)], own)
    if mode == "probe":
        return probe_images(config, given=given, own=own)
    if mode == "compare":
        return compare(config, value, own)
    if mode == "suggest":
        return suggest(config, value, count, given, own)
    if mode in ("folds", "seeds", "search"):
        experiment = {"folds": repeats.cross_validate, "seeds": repeats.train_seeds, "search": search.search}[mode]
        kept = {*given, *(search.SEARCHED if mode == "search" else ())}  # what is searched is not for auto to choose

        def make_callbacks(config: FinetuneConfig) -> list[Callback]:
            return all_callbacks(config, transfer(config, kept), summary=False)

        experiment(config, value, command, make_callbacks, kept)
        return None
    asked: dict[str, Any] = {"given": given, "command": command, "resume": resume, "mode": mode, "began": began}
    return run_training(config, transfer=transfer(config, given, mode), callbacks=callbacks, own=own, **asked)
