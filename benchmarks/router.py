"""Whether the assistant's router takes the right tool: accuracy on 200 requests, half of them held out.

python benchmarks/router.py [--wrong] [--data benchmarks/router_requests.tsv]
All tools are on, and the conversation has an image. The file's odd lines (1, 3, ...) were looked at while the router was made,
the even ones are held out. The router's own examples are others: assets/router/examples.tsv, with `mmgen train router`.
"""

import argparse
import time
from pathlib import Path

from setting import setting

from mmgen.pipelines.agent.router import NONE, Router
from mmgen.runtime import Runtime
from mmgen.training.recipes.router import examples

TOOLS = ("docs", "images", "draw", "edit", "calc", "fetch")


def measure(router: Router, rows: list[tuple[str, str]], name: str, tell: bool) -> None:
    """Prints accuracy over all, whether any tool is needed, and by tool; with `tell` what went wrong."""
    took, routed = time.perf_counter(), [router.route(request, TOOLS) for _, request in rows]
    took = (time.perf_counter() - took) / len(rows)
    right = [(route.tool or NONE) == tool for route, (tool, _) in zip(routed, rows, strict=True)]
    needed = [(route.tool is None) == (tool == NONE) for route, (tool, _) in zip(routed, rows, strict=True)]
    print(f"{name}: {sum(right)} of {len(rows)} right ({sum(right) / len(rows):.2f}); whether a tool is needed at all: "
          f"{sum(needed) / len(rows):.2f}; {took * 1000:.0f} ms a request")  # fmt: skip
    for tool in (NONE, *TOOLS):
        of = [ok for ok, (said, _) in zip(right, rows, strict=True) if said == tool]
        print(f"  {tool:7} {sum(of)} of {len(of)}")
    for (tool, request), route in zip(rows, routed, strict=True):
        if tell and (route.tool or NONE) != tool:
            print(f"    {request!r} is {tool}, taken for {route.tool or NONE} ({route.confidence:.2f}, {route.why})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("router_requests.tsv"))
    parser.add_argument("--wrong", action="store_true", help="tell the wrong ones of the first half")
    given = parser.parse_args()
    rows = examples(given.data)
    with Runtime() as rt:
        router = Router(rt)
        router.route("warm up, please", TOOLS)
        print(setting(encoder=rt.host.precisions.get("embedded:minilm") or "fp32"))
        measure(router, rows[::2], "looked at", given.wrong)
        measure(router, rows[1::2], "held out", False)


if __name__ == "__main__":
    main()
