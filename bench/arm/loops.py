"""Finds the hot loops of compiled kernels: disassembly -> basic blocks -> innermost loops -> one pass through each.

A pass is the shortest way from a loop's head back to it, in instructions: what a loop does on most of its turns, where
the other ways are for ends of rows.
"""

import re
import subprocess
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

_HEADER = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
_RELOCATION = re.compile(r"^\s+[0-9a-f]+:\s+R_\S+\s+([^\s+-]+)")
_COMMENT = re.compile(r"\s*(?://|#\s|<).*$")
_TARGET = re.compile(r"0x([0-9a-f]+)\b")
_ALWAYS = {"b", "br", "jmp", "jmpq"}
_RETURNS = {"ret", "retq"}
_CALLS = {"bl", "blr", "call", "callq"}
_X86_JUMP = re.compile(r"^j[a-z]+$")
_ARM_JUMP = re.compile(r"^(b\.[a-z]+|cbn?z|tbn?z)$")


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly; `target` is where a jump goes, `callee` what a call calls."""

    address: int
    text: str
    target: int | None = None
    callee: str | None = None

    @property
    def mnemonic(self) -> str:
        return self.text.split()[0]

    @property
    def is_call(self) -> bool:
        return self.mnemonic in _CALLS

    @property
    def is_conditional(self) -> bool:
        name = self.mnemonic
        return bool(_ARM_JUMP.match(name) or (_X86_JUMP.match(name) and name not in _ALWAYS))

    @property
    def is_jump(self) -> bool:
        return self.is_conditional or self.mnemonic in _ALWAYS

    @property
    def ends_block(self) -> bool:
        return self.is_jump or self.mnemonic in _RETURNS


@dataclass(frozen=True)
class Loop:
    """One pass through an innermost loop of `function`, and what it calls on the way; [instructions]."""

    function: str
    address: int
    instructions: tuple[Instruction, ...]
    calls: tuple[str, ...] = ()


@dataclass
class Function:
    """A function's instructions in order of address."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)


def _clean(text: str) -> str:
    return " ".join(_COMMENT.sub("", text).split())


def _parse(lines: Iterable[str]) -> dict[str, Function]:
    functions: dict[str, Function] = {}
    here: Function | None = None
    for line in lines:
        if header := _HEADER.match(line):
            here = functions.setdefault(header[1], Function(header[1]))
        elif here is not None and (relocation := _RELOCATION.match(line)) and here.instructions:
            last = here.instructions[-1]
            if last.is_call or last.is_jump:
                here.instructions[-1] = Instruction(last.address, last.text, None, relocation[1])
        elif here is not None and (found := _INSTRUCTION.match(line)):
            here.instructions.append(_instruction(int(found[1], 16), found[2]))
    return functions


def _instruction(address: int, raw: str) -> Instruction:
    text = _clean(raw)
    bare = Instruction(address, text)
    if not (bare.is_jump or bare.is_call):
        return bare
    target = _TARGET.findall(text)
    callee = re.search(r"<([^+>]+)>", raw)  # without an offset: a call, or a jump to where another function starts
    return Instruction(address, text, int(target[-1], 16) if target else None, callee[1] if callee else None)


@cache
def disassemble(objdump: str, binary: Path) -> dict[str, Function]:
    """The functions of an object file."""
    command = [objdump, "-d", "-r", "--no-show-raw-insn", str(binary)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return _parse(done.stdout.splitlines())


def _blocks(function: Function) -> tuple[dict[int, list[Instruction]], dict[int, list[int]]]:
    """Basic blocks by address, and where each goes next."""
    code = function.instructions
    inside = {i.address for i in code}
    starts = {code[0].address}
    for i, instruction in enumerate(code):
        if instruction.ends_block:
            if i + 1 < len(code):
                starts.add(code[i + 1].address)
            if instruction.target in inside:
                starts.add(instruction.target)
    blocks: dict[int, list[Instruction]] = {}
    for instruction in code:
        if instruction.address in starts:
            here = blocks.setdefault(instruction.address, [])
        here.append(instruction)
    order = sorted(blocks)
    following = dict(pairwise(order))
    nexts: dict[int, list[int]] = {}
    for start, block in blocks.items():
        last = block[-1]
        goes = [following[start]] if start in following and _falls_through(last) else []
        if last.is_jump and last.target in blocks:
            goes.append(last.target)
        nexts[start] = goes
    return blocks, nexts


def _falls_through(last: Instruction) -> bool:
    return not (last.mnemonic in _ALWAYS or last.mnemonic in _RETURNS)


def _back_edges(entry: int, nexts: dict[int, list[int]]) -> list[tuple[int, int]]:
    """(latch, head) of every loop: edges to a block that a depth-first walk has not left yet."""
    edges, state = [], {entry: 1}
    stack = [(entry, iter(nexts[entry]))]
    while stack:
        at, rest = stack[-1]
        step = next(rest, None)
        if step is None:
            state[at] = 2
            stack.pop()
        elif state.get(step) == 1:
            edges.append((at, step))
        elif step not in state:
            state[step] = 1
            stack.append((step, iter(nexts[step])))
    return edges


def _body(latch: int, head: int, nexts: dict[int, list[int]]) -> set[int]:
    """The natural loop of a back edge: blocks that reach the latch without passing the head."""
    before: dict[int, set[int]] = {}
    for at, goes in nexts.items():
        for step in goes:
            before.setdefault(step, set()).add(at)
    body, queue = {head, latch}, deque([latch] if latch != head else [])
    while queue:
        for at in before.get(queue.popleft(), ()):
            if at not in body:
                body.add(at)
                queue.append(at)
    return body


def _shortest(
    start: int, ends: set[int], body: set[int], blocks: dict[int, list[Instruction]], nexts: dict[int, list[int]]
) -> list[int]:
    """Blocks from start to one of ends with the fewest instructions, within body."""
    best: dict[int, tuple[int, list[int]]] = {start: (len(blocks[start]), [start])}
    todo = [start]
    while todo:
        at = min(todo, key=lambda b: best[b][0])
        todo.remove(at)
        length, way = best[at]
        if at in ends:
            return way
        for step in nexts[at]:
            new = length + len(blocks[step])
            if step in body and step != start and (step not in best or new < best[step][0]):
                best[step] = (new, [*way, step])
                todo.append(step)
    raise ValueError(f"no way from {start:#x} to {sorted(ends)}")


def innermost_loops(function: Function) -> list[Loop]:
    """One pass through each innermost loop of a function, in order of address."""
    if not function.instructions:
        return []
    blocks, nexts = _blocks(function)
    latches: dict[int, set[int]] = {}
    bodies: dict[int, set[int]] = {}
    for latch, head in _back_edges(function.instructions[0].address, nexts):
        latches.setdefault(head, set()).add(latch)
        bodies.setdefault(head, set()).update(_body(latch, head, nexts))
    loops = []
    for head, body in bodies.items():
        if any(other != head and other in body for other in bodies):
            continue
        way = _shortest(head, latches[head], body, blocks, nexts)
        passed = tuple(i for start in way for i in blocks[start])
        calls = tuple(i.callee or "?" for i in passed if i.is_call)
        loops.append(Loop(function.name, head, passed, calls))
    return sorted(loops, key=lambda loop: loop.address)


def reachable(functions: dict[str, Function], symbol: str) -> list[Function]:
    """The function and those of the same object that it calls, directly or not."""
    found, queue = {}, deque([symbol])
    while queue:
        name = queue.popleft()
        if name in found or name not in functions:
            continue
        found[name] = functions[name]
        queue.extend(i.callee for i in functions[name].instructions if i.callee)
    return list(found.values())


def assembly(instructions: Sequence[Instruction]) -> str:
    """Text that llvm-mca takes: jumps and page addresses go to a label, as it follows no jumps anyway."""
    lines = [".Lhead:"]
    for i in instructions:
        words = i.text.split(None, 1)
        if i.is_jump:
            operands = words[1].rsplit(",", 1)[0] + ", " if "," in words[-1] else ""
            lines.append(f"{words[0]} {operands}.Lhead")
        elif words[0] in ("adrp", "adr"):
            lines.append(f"{words[0]} {words[1].split(',')[0]}, .Lhead")
        else:
            lines.append(i.text)
    return "\n".join(lines) + "\n"
