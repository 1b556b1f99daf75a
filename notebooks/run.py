"""Run the notebooks, and compare what they give with the outputs that are committed.

    make notebooks                      fails where an output differs
    python -m notebooks.run --write     keeps the new outputs

Each runs in a new kernel, from the root of the checkout. Texts must be the same to the letter.
Of pictures a few pixels may differ: another processor adds float32 in another order.
"""

import argparse
import base64
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
import numpy as np
from nbclient import NotebookClient
from traitlets.config import Config

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FOLDER = Path(__file__).resolve().parent
_PIXEL = 0.1
"""A pixel differs where one of its colours, from 0 to 1, does so by more."""
_SHARE = 0.005
"""So many pixels may differ."""


def run(path: Path, *, write: bool) -> list[str]:
    """Run one notebook; returns what differs from its committed outputs."""
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    before = list(_outputs(notebook))
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        config=Config(AsyncKernelManager={"transport": "ipc"}),  # No port for others to read.
        resources={"metadata": {"path": str(FOLDER.parent)}},
    )
    client.execute()
    # What names this machine's Python is left out, or each machine would write another file.
    for key in list(notebook.metadata):
        del notebook.metadata[key]
    notebook.metadata.update(_METADATA)
    after = list(_outputs(notebook))
    if write:
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        return []
    if len(before) != len(after):
        return [f"{path.name}: {len(after)} outputs instead of {len(before)}"]
    return [
        f"{path.name}, cell {cell}: {kind} differs"
        for (cell, kind, old), (_, new_kind, new) in zip(before, after, strict=True)
        if kind != new_kind or not _same(kind, old, new)
    ]


def _outputs(notebook: Any) -> Iterator[tuple[int, str, str]]:
    """Yield each output as its cell, its kind and its contents; neighbouring texts as one."""
    for cell, source in enumerate(notebook.cells, start=1):
        texts: dict[str, str] = {}
        for output in source.get("outputs", ()):
            if output.output_type == "stream":
                texts[output.name] = texts.get(output.name, "") + output.text
            elif output.output_type == "error":
                yield cell, "error", json.dumps(output.traceback)
            else:
                for kind, contents in sorted(output.data.items()):
                    if kind != "text/plain" or "image/png" not in output.data:
                        yield cell, kind, contents
        for name, text in texts.items():
            yield cell, name, text


def _same(kind: str, old: str, new: str) -> bool:
    if kind != "image/png" or old == new:
        return old == new
    first, second = (
        matplotlib.image.imread(io.BytesIO(base64.b64decode(picture))) for picture in (old, new)
    )
    if first.shape != second.shape:
        return False
    differs = np.abs(first - second).max(axis=2) > _PIXEL  # (height, width)
    return bool(differs.mean() <= _SHARE)


def main() -> None:
    """Run all notebooks; exit with 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the new outputs")
    wanted = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["PYTHONPATH"] = str(FOLDER)
    different: list[str] = []
    for path in sorted(FOLDER.glob("*.ipynb")):
        started = time.monotonic()
        different += run(path, write=wanted.write)
        sys.stdout.write(f"{path.name}: {time.monotonic() - started:.0f} s\n")
    for line in different:
        sys.stdout.write(f"{line}\n")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
