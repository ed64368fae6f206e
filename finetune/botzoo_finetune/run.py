"""Fine-tuning: a training run of botzoo with transfer added."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from torch import nn

from botzoo.api import train_and_describe
from botzoo.errors import ConfigError
from botzoo.training.run import Result
from botzoo.training.setup import Settled, Transfer, anew
from botzoo_finetune import auto
from botzoo_finetune.auto import differing, for_optimizer
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.doctor.check import check
from botzoo_finetune.doctor.examine import Report, quick_lines
from botzoo_finetune.folds import cross_validate
from botzoo_finetune.probing.compare import compare
from botzoo_finetune.probing.first_look import facts, report_probe, sized_for_budget, start_from_probe
from botzoo_finetune.search import SEARCHED, search
from botzoo_finetune.seeds import train_seeds
from botzoo_finetune.transfer.freeze import Freezer
from botzoo_finetune.transfer.head_only import HeadOnly, head_only, on_images
from botzoo_finetune.transfer.layer_decay import layer_decay

SEVERAL = {"folds": cross_validate, "seeds": train_seeds, "search": search}
"""Modes that train several times."""


def finetune(
    config: FinetuneConfig,
    *,
    command: str,
    resume: Path | None = None,
    mode: str | None = None,
    value: str = "",
    began: float | None = None,
    given: Collection[str] | None = None,
) -> Result | Report | None:
    """Fine-tune as ``config`` says, write the card and print the summary; or do what ``mode`` says instead.

    Args:
        config: the options.
        command: as typed, for the card and the command to resume.
        resume: folder of a run to go on with, whose configuration is ``config``.
        mode: "check", "probe", "compare", "folds", "seeds", "search", or one of
            ``botzoo.api.train_and_describe``; None to train.
        value: what stands behind the flag of the mode: models to compare, how many folds, seeds or trials.
        began: ``time.perf_counter()`` when the command began, from which on --budget counts; by default this call's.
        given: names of the options that ``config.auto`` leaves as they are, dotted where they stand in a group; by default
            those that differ from their defaults.

    Returns:
        The result, or what the check found in the data, or None where nothing was to be kept and where the run to resume is
        complete already.

    Raises:
        BotzooError: see ``botzoo.training.run.train``.
    """
    given = differing(config) if given is None else given
    kept = {*given, *(SEARCHED if mode == "search" else ())}
    if resume is None:
        config = for_optimizer(config, given)
    if mode in ("check", "probe", "compare", "folds") and config.data.streaming:
        raise ConfigError(f"--{mode} looks at all images at once: leave --data.streaming out.")
    if mode == "check":
        return check(config, _transfer(config))
    if mode == "probe":
        report_probe(config, _transfer(config))
        return None
    if mode == "compare":
        compare(config, value)
        return None
    if mode in SEVERAL:
        SEVERAL[mode](config, value, command, lambda config: _choosing(config, kept))
        return None
    transfer = _choosing(config, kept) if resume is None else _transfer(config)
    return train_and_describe(config, command=command, transfer=transfer, resume=resume, mode=mode, began=began)


def _choosing(config: FinetuneConfig, given: Collection[str]) -> Transfer:
    """Return the transfer of a run that chooses what is not ``given``, where ``config.auto`` lets it."""
    transfer = _transfer(config)
    if not config.auto or config.scratch or config.data.streaming or config.freeze == "backbone":
        return transfer

    def choose(settled: Settled) -> tuple[FinetuneConfig, Transfer]:
        precise = replace(config, mixed_precision=settled.config.mixed_precision)
        first = [] if auto.settled_by("img_size", given) else sized_for_budget(settled)
        if first:
            settled = anew(settled, auto.with_choices(precise, first), transfer)
        choices = [choice for choice in auto.choose(facts(settled)) if not auto.settled_by(choice.option, given)]
        chosen = auto.with_choices(precise, choices := [*first, *choices])
        return chosen, replace(_transfer(chosen), choices=tuple(map(str, choices)))

    return replace(transfer, choose=choose)


def _transfer(config: FinetuneConfig) -> Transfer:
    freezer = Freezer(config.freeze, config.unfreeze_every)

    def describe(model: nn.Module) -> list[str]:
        freezer.check(model)
        lines = [f"frozen: {config.freeze}"] if config.freeze != "none" else []
        lines += [f"one more stage is trained every {config.unfreeze_every} epoch(s)"] if config.unfreeze_every else []
        scales = [f"{config.layer_decay:g} from layer to layer"] if config.layer_decay < 1 else []
        scales += [f"{config.head_lr_scale:g} for the classifier"] if config.head_lr_scale != 1 else []
        return lines + ([f"learning rate times {' and times '.join(scales)}"] if scales else [])

    def shortcut(settled: Settled) -> HeadOnly | None:
        if config.freeze != "backbone":
            return None
        if config.views and (flags := on_images(settled)):
            raise ConfigError(
                f"{flags[0]} needs images in every step, not the features that --views keeps: leave one of the two out."
            )
        return head_only(settled, config.views)

    return Transfer(
        lr_scale=lambda model: layer_decay(model, config.layer_decay, config.head_lr_scale),
        set_trainable=freezer,
        describe=describe,
        shortcut=shortcut,
        begin=start_from_probe if config.lp_ft and not config.scratch else lambda settled: None,
        remark=quick_lines,
    )
