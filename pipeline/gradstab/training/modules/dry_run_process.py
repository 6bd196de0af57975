"""The process of a dry run: user code must neither hang, print into nor change the process that drives a study.

Standard input holds JSON with the study and the folder of its code; the last line of standard output is the answer.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from gradstab.errors import GradstabError
from gradstab.study.origin import FROM_RECORD
from gradstab.study.study import Study
from gradstab.system.storage_url import without_passwords
from gradstab.training.modules.faults import sentence_and_traceback
from gradstab.training.modules.work import ModuleWork
from gradstab.user_code.stored import read_code


def main() -> None:
    """Answer one question: {"found": the dry run} or {"fault": a sentence, "traceback": the user's part of it}."""
    asked = json.load(sys.stdin)
    channel = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        found = answer_of(Study.model_validate(asked["study"], context=FROM_RECORD), Path(asked["code"]))
    channel.write(json.dumps(found) + "\n")


def answer_of(study: Study, folder: Path) -> dict[str, str]:
    """What a dry run of the study found, with the code that is kept in a folder, or why it cannot be run."""
    code = read_code(folder)
    assert study.model is not None
    assert code is not None
    work = ModuleWork(study.model, code, study.data, study.seed, reference_loss=float("nan"))
    try:
        return {"found": work.try_out(study).dump()}
    except MemoryError:
        return {
            "fault": "the modules must fit the memory of this machine, but the largest one does not",
            "traceback": "",
        }
    except Exception as error:
        sentence, shown = sentence_and_traceback(error)
        if not shown and not isinstance(error, GradstabError):
            raise  # nothing of the user's was running
        return {"fault": without_passwords(sentence), "traceback": shown}


if __name__ == "__main__":
    main()
