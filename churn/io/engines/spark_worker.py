"""The process that Spark runs in: commands in JSON on standard input, an answer to each on standard output.

Runs as ``python -m churn.io.engines.spark_worker``, in a folder that is its own; see ``spark_process``.
"""

import json
import os
import shutil
import sys
import threading
import traceback
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

import pyarrow as pa

from churn.errors import ChurnError
from churn.io.engines.spark import SparkEngine, end_java, open_session


def main() -> None:
    commands: SimpleQueue[dict[str, Any]] = SimpleQueue()
    served = threading.Thread(target=_serve, args=(commands, os.fdopen(os.dup(1), "w", encoding="utf-8")), daemon=True)
    os.dup2(2, 1)  # Java writes to standard output as it likes
    served.start()
    for line in sys.stdin:
        commands.put(command := json.loads(line))
        if command["do"] == "end":
            served.join()
            return
    # Whoever asked is gone without a word, and nothing of this may outlive it.
    end_java()
    shutil.rmtree(Path.cwd(), ignore_errors=True)


def _serve(commands: "SimpleQueue[dict[str, Any]]", answers: TextIO) -> None:
    """One command after the other. What is not answered has ended all: the log says why."""

    def answer(**said: str) -> None:
        print(json.dumps(said), file=answers, flush=True)

    try:
        start = commands.get()
        with open_session(start["master"], start["options"], Path.cwd()) as session:
            engine = SparkEngine(session)
            answer()
            while (command := commands.get())["do"] != "end":
                try:
                    _run(engine, command)
                except ChurnError as e:
                    answer(error=str(e), kind=type(e).__name__)
                else:
                    answer()
    except BaseException:
        traceback.print_exc()
    finally:
        answers.close()


def _run(engine: SparkEngine, command: dict[str, Any]) -> None:
    match command:
        case {"do": "view", "name": name, "paths": paths}:
            engine.view(name, [Path(path) for path in paths])
        case {"do": "register", "name": name, "file": file}:
            with pa.memory_map(file) as source:
                engine.register(name, pa.ipc.open_file(source).read_all())
        case {"do": "execute", "sql": sql}:
            engine.execute(sql)
        case {"do": "table", "sql": sql, "file": file}:
            _write(engine.table(sql), file)
        case {"do": "scores", "features": features, "model": model, "file": file}:
            _write(engine.scores(Path(features), Path(model)), file)
        case {"do": "clear"}:
            engine.clear()
        case _:
            raise AssertionError(command)


def _write(table: pa.Table, file: str) -> None:
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


if __name__ == "__main__":
    main()
