"""Run with a commit's files as the current folder: prints the train key of its training, computed by its own code.

Knows nothing of the code that calls it. The only argument is the digest of the prepared data; what it prints last is JSON,
{"key": ...} or {"problem": ...}.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(data_digest: str) -> dict[str, str]:
    """The key, or in a few words why there is none."""
    sys.path.insert(0, str(Path("src").resolve()))
    try:
        import cyclegan
        from cyclegan import config, lineage

        if Path("src").resolve() not in Path(str(cyclegan.__file__)).parents:
            return {"problem": "it has no src/cyclegan"}
        key: Any = lineage.train_key(Path(), config.load(Path("params.yaml")), data_digest)
    except Exception as error:
        told = type(error).__name__ == "UserError"
        said = " ".join(str(error).split())
        return {"problem": said if told else f"its code cannot compute one here ({type(error).__name__}: {said})"}
    return {"key": str(key)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
