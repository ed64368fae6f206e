"""What the runs of a folder are, written down before the first of them: later commands have to mean the same."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botzoo.errors import ConfigError
from botzoo.recipes import Options
from botzoo.util.files import parse_json, read_sealed, write_json
from botzoo.util.nested import flat
from botzoo.util.outgoing import public
from botzoo.util.text import brief


@dataclass(frozen=True)
class Register:
    """The file in the folder of a series that says what its runs are."""

    file: str  # its name
    what: str  # what the runs are of, such as "ladder": the key of its name in the file
    parts: str  # the key of the options, of one part of the series after the other
    part: str  # how a message begins on what a part has, its name in the braces

    def make_folder(self, folder: Path) -> None:
        """Make the folder of a series, unless it is there.

        Raises:
            ConfigError: it holds something else, or cannot be made.
        """
        try:
            ours = not folder.exists() or (folder / self.file).exists()
            if not ours and any(path.name != ".lock" and path.suffix != ".part" for path in folder.iterdir()):
                raise ConfigError(f"--output {folder} holds something else and is left as it is: give another folder.")
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def claim(
        self, folder: Path, name: str, options: dict[str, Options], precision: str, begun: Callable[[str], bool]
    ) -> dict[str, Options]:
        """Write down what the parts are, or go on if their runs were trained with the same options; return the options.

        Args:
            folder, name: of the series; this process works in it alone.
            options: of each part, by its name.
            precision: takes the place of "auto", unless one was measured when the series began.
            begun: tells whether there is a run of a part; the options of others may still change.

        Raises:
            ConfigError: the folder has results of other options, or cannot be written.
        """
        path = folder / self.file
        try:
            before: dict[str, Any] = (
                parse_json(read_sealed(path)) if path.exists() else {self.what: name, self.parts: {}}
            )
        except (OSError, ValueError) as error:
            cure = "put it back, or give another --output"
            raise ConfigError(f"{path} is damaged ({brief(error)}): {cure}.") from error
        if before.get(self.what) != name:
            raise ConfigError(
                f"--output {folder} holds results of another {self.what}, {before.get(self.what)}: give another folder."
            )
        earlier = before[self.parts]
        claimed: dict[str, Options] = json.loads(json.dumps(options))  # as they will be read: lists, not tuples
        for part, own in claimed.items():
            if own.get("mixed_precision", "auto") == "auto":
                own["mixed_precision"] = earlier.get(part, {}).get("mixed_precision", precision)
        for part in filter(begun, earlier.keys() & claimed.keys()):
            old, new = flat(earlier[part]), flat(public(claimed[part]))
            for option in sorted(old.keys() | new.keys()):
                if old.get(option) != new.get(option):
                    raise ConfigError(
                        f"--output {folder} holds results of another {self.what}: {self.part.format(part)} {option} = "
                        f"{old.get(option)}, not {new.get(option)}. Give another folder, or the same options as before."
                    )
        try:
            write_json(folder / self.file, {self.what: name, self.parts: earlier | claimed}, seal=True)
        except OSError as error:
            raise _unwritable(folder, error) from error
        return claimed


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--output {folder} cannot be written ({error.strerror}): give another folder.")
