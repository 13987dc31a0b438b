"""``python -m bench [SCENARIO] [OPTIONS]``; see README.md beside this file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from bench import client, importing, inbox, neighbours, postgres, profiling, rooms_soak, server, soak, store, throughput

SCENARIOS: dict[str, Callable[[Sequence[str]], int]] = {
    "throughput": throughput.main,
    "bad-neighbours": neighbours.main,
    "soak": soak.main,
    "profile": profiling.main,
    "client": client.main,
    "server": server.main,
    "store": store.main,
    "inbox": inbox.main,
    "import": importing.main,
    "rooms-soak": rooms_soak.main,
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
