"""The page at the end of a run."""

import logging
from typing import Any

from botzoo.results.record import RunRecord
from botzoo.training.callbacks import Callback
from botzoo.util.text import HEADING, brief

log = logging.getLogger("botzoo")


class WritePage(Callback):
    """Writes report.html into the folder of a run that has finished."""

    def on_finish(self, run: Any) -> None:
        """Write the page on the main process; a failure costs the run nothing but the page."""
        if not run.is_main:
            return
        from botzoo.report.material import of_run  # not before the end: both import what training does without
        from botzoo.report.page import NAME, write_report

        path = run.folder / NAME
        try:
            write_report(RunRecord.load(run.folder), path, of_run(run))
        except Exception as error:  # whatever images, fonts and libraries may raise: the run is finished without it
            log.warning(
                "%s was not written (%s); all else is. botzoo report %s tries again.", path, brief(error), run.folder
            )
        else:
            log.info("%-*s %s", HEADING, "page", path)
