"""Which tensors a configuration asks for, and whether a checkpoint has exactly those (docs/model.md, section 5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from vqrank_convert.activations import parameters
from vqrank_convert.checkpoint import DTYPES, TensorInfo
from vqrank_convert.config import Config
from vqrank_convert.config_sequences import AttendingConfig, DinAttentionConfig, DmqnConfig, DotAttentionConfig
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.errors import ConversionError, quote

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Expected:
    """A tensor that the checkpoint must hold (or may, if `optional`) in one of `shapes`."""

    name: str
    shapes: tuple[Shape, ...]
    optional: bool = False
    why: str = ""


def expected_tensors(config: Config) -> list[Expected]:
    """Every tensor that the converter reads for this configuration."""
    result = [Expected(table.tensor, ((table.rows, table.dim),)) for table in config.tables.values()]
    for quantizer in config.quantizers.values():
        each = (quantizer.levels, quantizer.codes)
        result.append(Expected(f"{quantizer.prefix}.mean", ((*each, quantizer.dim),)))
        if quantizer.scaled:
            result.append(Expected(f"{quantizer.prefix}.variance", ((*each, quantizer.dim),)))
            result.append(Expected(f"{quantizer.prefix}.weight", (each,)))
    for sequence in config.sequences:
        if isinstance(sequence, VqlConfig):
            result += _vql(config, sequence)
        else:
            result += _dmqn(config, sequence) if isinstance(sequence, DmqnConfig) else _attention(config, sequence)
    widths = config.head_widths
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        result.append(Expected(f"head.{layer}.weight", ((outputs, inputs),)))
        result.append(Expected(f"head.{layer}.bias", ((outputs,),), optional=True))
    for layer, width in enumerate(config.head.hidden):
        result += _parameters(config.head.activation, f"head.{layer}", (width,))
    return result


def _dmqn(config: Config, sequence: DmqnConfig) -> Iterator[Expected]:
    n, w, d = sequence.codebooks, sequence.codewords, config.width("event")
    yield Expected(f"{sequence.prefix}.projection", ((n, d, d),))
    yield Expected(f"{sequence.prefix}.codebook", ((n, w, d),))
    hstu = sequence.hstu
    j = 1 if hstu.share else n
    why = f"hstu.share is {str(hstu.share).lower()}"
    for layer in range(hstu.layers):
        p = f"{sequence.prefix}.hstu.{layer}"
        values = hstu.heads * hstu.v_dim
        yield Expected(f"{p}.f1.weight", ((j, hstu.f1_width, d),), why=why)
        yield Expected(f"{p}.f1.bias", ((j, hstu.f1_width),), optional=True, why=why)
        if hstu.bias != "none":
            last: Shape = (w, w) if hstu.bias == "dense" else (2 * w - 1,)
            heads = (1,) if hstu.heads == 1 else (1, hstu.heads)
            yield Expected(f"{p}.bias", tuple((j, h, *last) for h in heads), why=why)
        if hstu.affine:
            yield Expected(f"{p}.norm.weight", ((j, values),), why=why)
            yield Expected(f"{p}.norm.bias", ((j, values),), why=why)
            if hstu.pre_norm:
                yield Expected(f"{p}.pre_norm.weight", ((j, d),), why=why)
                yield Expected(f"{p}.pre_norm.bias", ((j, d),), why=why)
        yield Expected(f"{p}.f2.weight", ((j, d, hstu.z_width),), why=why)
        yield Expected(f"{p}.f2.bias", ((j, d),), optional=True, why=why)
    yield from _attention(config, sequence)


def _vql(config: Config, sequence: VqlConfig) -> Iterator[Expected]:
    p, a, d, dc = f"{sequence.prefix}.vql", sequence.heads, config.width("event"), config.width("candidate")
    yield Expected(f"{p}.k.weight", ((a * sequence.dim, d),))
    yield Expected(f"{p}.v.weight", ((a * sequence.v_dim, d),))
    yield Expected(f"{p}.q.weight", ((a * sequence.dim, dc),))
    if sequence.out:
        yield Expected(f"{p}.out.weight", ((sequence.out, a * sequence.v_dim),))
    for g, group in enumerate(sequence.groups):
        yield Expected(f"{p}.groups.{g}.codebook", ((group.codewords, len(group.heads) * sequence.dim),))
    if sequence.decay_terms:
        yield Expected(f"{p}.decay", ((a, sequence.decay_terms),))
        yield Expected(f"{p}.mix", ((a, sequence.decay_terms),))


def _attention(config: Config, sequence: AttendingConfig) -> Iterator[Expected]:
    """The target attention's tensors; `sequence.parts` leads their shapes."""
    attention, p, j = sequence.attention, f"{sequence.prefix}.attention", sequence.parts
    d, dc = config.width("event"), config.width("candidate")
    why = f"attention.share is {str(attention.share).lower()}" if j else ""
    if isinstance(attention, DotAttentionConfig):
        width = attention.heads * attention.dim
        linear = [("q", dc, width), ("k", d, width), ("v", d, width)]
        if attention.out:
            linear.append(("out", width, attention.out))
    else:
        linear = [("q", dc, d)]
        linear += [(f"mlp.{i}", inputs, outputs) for i, (inputs, outputs) in enumerate(attention.layers)]
    for part, inputs, outputs in linear:
        yield Expected(f"{p}.{part}.weight", ((*j, outputs, inputs),), why=why)
        yield Expected(f"{p}.{part}.bias", ((*j, outputs),), optional=True, why=why)
    if isinstance(attention, DinAttentionConfig):
        for layer, width in enumerate(attention.hidden):
            yield from _parameters(attention.activation, f"{p}.mlp.{layer}", (*j, width), why)


def _parameters(activation: str, layer: str, shape: Shape, why: str = "") -> Iterator[Expected]:
    """The activation's tensors beside a hidden layer."""
    for name in parameters(activation):
        yield Expected(f"{layer}.{name}", (shape,), why=why)


def check_tensors(config: Config, found: dict[str, TensorInfo]) -> None:
    """Refuses missing tensors, wrong shapes and dtypes, and tensors that nothing reads. One line for the first."""
    expected = expected_tensors(config)
    problems = [problem for entry in expected if (problem := _problem(entry, found.get(entry.name)))]
    unread = sorted(set(found) - {entry.name for entry in expected})
    for name in unread:
        info = found[name]
        problems.append(
            f"tensor {quote(name)[1:-1]}: expected no such tensor, as nothing in the config reads it, "
            f"found {info.dtype} {list(info.shape)}"
        )
    if problems:
        more = f" (and {len(problems) - 1} more problems with tensors)" if len(problems) > 1 else ""
        raise ConversionError(problems[0] + more)


def _problem(expected: Expected, found: TensorInfo | None) -> str | None:
    shapes = " or ".join(str(list(shape)) for shape in expected.shapes)
    if found is None:
        return None if expected.optional else f"tensor {expected.name}: expected shape {shapes}, found none"
    if found.dtype not in DTYPES:
        return f"tensor {expected.name}: expected dtype {', '.join(DTYPES)}, found {found.dtype}"
    if found.shape in expected.shapes:
        return None
    problem = f"tensor {expected.name}: expected shape {shapes}, found {list(found.shape)}"
    leading = {(found.shape[0], *shape[1:]) for shape in expected.shapes} if found.shape else set()
    return f"{problem} ({expected.why})" if expected.why and found.shape in leading else problem
