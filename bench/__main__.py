"""``python -m bench [SCENARIO] [OPTIONS]``; see README.md beside this file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from bench import client, postgres, profiling, server, store, throughput

SCENARIOS: dict[str, Callable[[Sequence[str]], int]] = {
    "throughput": throughput.main,
    "profile": profiling.main,
    "client": client.main,
    "server": server.main,
    "store": store.main,
    "postgres": postgres.main,
}


def main() -> int:
    arguments = sys.argv[1:]
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "throughput"
    if name not in SCENARIOS:
        print(f"There is no scenario {name!r}; there are: {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    return SCENARIOS[name](arguments)


if __name__ == "__main__":
    sys.exit(main())
