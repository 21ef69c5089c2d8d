"""From a torch profile to a table: which operator took which share of the time."""

from __future__ import annotations

from typing import Any

from torch.profiler import profile

# Operators whose time is matrix products: the fused LSTM is these and little else.
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::mv", "mkldnn_rnn", "linear", "lstm")
SHOWN = 12


def operator_table(profiler: profile, shown: int = SHOWN) -> dict[str, Any]:
    """Self time on the processor by operator, largest first.

    Returns:
        `seconds` in all operators, `product_share` of matrix products in them, and `rows` of the
        `shown` largest and the rest: name, share, milliseconds, calls.
    """
    events = [event for event in profiler.key_averages() if event.self_cpu_time_total > 0]
    events.sort(key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)  # microseconds
    products = sum(event.self_cpu_time_total for event in events if is_product(event.key))
    rows = [
        {
            "operator": event.key,
            "share": event.self_cpu_time_total / total,
            "milliseconds": event.self_cpu_time_total / 1e3,
            "calls": event.count,
        }
        for event in events[:shown]
    ]
    rest = events[shown:]
    rows.append(
        {
            "operator": f"{len(rest)} others",
            "share": sum(event.self_cpu_time_total for event in rest) / total,
            "milliseconds": sum(event.self_cpu_time_total for event in rest) / 1e3,
            "calls": sum(event.count for event in rest),
        }
    )
    return {"seconds": total / 1e6, "product_share": products / total, "rows": rows}


def is_product(name: str) -> bool:
    """Whether an operator is a matrix product, or made of them."""
    return any(part in name for part in PRODUCTS)
