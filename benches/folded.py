#!/usr/bin/env python3
"""Folded stacks for flame graphs out of a callgrind file that names callers (`micro profile NAME`).

    benches/folded.py target/micro-profile/out.1 | inferno-flamegraph --countname instructions > flame.svg
"""

import collections
import re
import sys


def main():
    stacks, stack, skip = collections.Counter(), "", False
    for line in open(sys.argv[1], errors="replace"):
        if line.startswith("fn="):
            # The function, its caller, the caller's caller: the other way round than a flame graph has it.
            names = [re.sub(r"::h[0-9a-f]{16}$", "", name).replace(";", ":") for name in line[3:].strip().split("'") if name]
            stack = ";".join(reversed(names))
        elif line.startswith("calls="):
            skip = True  # the next line is what the call cost, which its own lines say again
        elif re.match(r"[+*\-0-9]", line):
            if not skip:
                stacks[stack] += int(line.split()[1])
            skip = False
    for stack, cost in sorted(stacks.items()):
        if cost:
            print(stack, cost)


if __name__ == "__main__":
    main()
