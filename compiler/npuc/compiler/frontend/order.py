"""The order of a graph's nodes, and whether every value has exactly one origin."""

from collections import deque
from collections.abc import Iterable, Sequence

import onnx

from npuc.isa.errors import ModelError


def describe_node(node: onnx.NodeProto) -> str:
    """A node for messages: operator and name, or its first output where it has no name."""
    return f"{node.op_type} {node_name(node)!r}"


def node_name(node: onnx.NodeProto) -> str:
    """The node's name, or its first output where it has none."""
    return node.name or next((name for name in node.output if name), "unnamed")


def ordered_nodes(graph: onnx.GraphProto, known: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes, each after those that it needs; ``known`` names inputs and initializers.

    The stored order is kept where it is one. Raises: ModelError for values without or with two
    origins and for cycles.
    """
    nodes = list(graph.node)
    producer = _producers(nodes, set(known))
    _check_dangling(graph, nodes, producer, set(known))
    users: list[list[int]] = [[] for _ in nodes]
    missing = [0] * len(nodes)
    for index, node in enumerate(nodes):
        for source in {producer[name] for name in node.input if name in producer}:
            users[source].append(index)
            missing[index] += 1
    ready = deque(i for i, count in enumerate(missing) if count == 0)
    order: list[int] = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for user in users[index]:
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(user)
    if len(order) < len(nodes):
        _raise_cycle([node for node, count in zip(nodes, missing, strict=True) if count])
    in_stored_order = all(
        producer[n] < i for i, node in enumerate(nodes) for n in node.input if n in producer
    )
    return nodes if in_stored_order else [nodes[i] for i in order]


def _producers(nodes: Sequence[onnx.NodeProto], known: set[str]) -> dict[str, int]:
    producer: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in producer or name in known:
                raise ModelError(
                    "a value has two origins",
                    where=describe_node(node),
                    given=name,
                    allowed="each name is made once",
                    next_step="rename one of the two in the model",
                )
            producer[name] = index
    return producer


def _check_dangling(
    graph: onnx.GraphProto,
    nodes: Sequence[onnx.NodeProto],
    producer: dict[str, int],
    known: set[str],
) -> None:
    lost = [
        f"{name!r} of {describe_node(node)}"
        for node in nodes
        for name in node.input
        if name and name not in producer and name not in known
    ]
    lost += [
        f"graph output {o.name!r}"
        for o in graph.output
        if o.name not in producer and o.name not in known
    ]
    if lost:
        raise ModelError(
            "the graph uses values that nothing makes",
            given="; ".join(lost[:10]),
            allowed="graph inputs, initializers and outputs of nodes",
            next_step="the model is damaged or truncated: export it again",
        )
    if not graph.output:
        raise ModelError("the graph has no outputs", next_step="export the model again")


def _raise_cycle(nodes: Sequence[onnx.NodeProto]) -> None:
    raise ModelError(
        "the graph has a cycle",
        where=", ".join(map(describe_node, nodes[:10])),
        allowed="a directed graph without cycles",
        next_step="export the model again",
    )
