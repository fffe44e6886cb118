"""The order of the list."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.fleet import BLOCK_ROWS, FleetRow, RecencyOrder

OPERATIONS = st.lists(st.tuples(st.sampled_from(["add", "add", "remove", "move"]), st.integers(0, 10**6)), max_size=300)


@given(start=st.sampled_from([0, 3, 4 * BLOCK_ROWS]), operations=OPERATIONS)
def test_it_is_what_a_plain_list_would_be(start: int, operations: list[tuple[str, int]]) -> None:
    """After any additions, removals and moves to the front, every page is that of a plain list."""
    order, model = RecencyOrder(), list[FleetRow]()
    for number in range(start):
        model.insert(0, FleetRow(f"first-{number}", b"", 0.0))
        order.add_in_front(model[0])
    for number, (operation, draw) in enumerate(operations):
        row = FleetRow(f"task-{number}", b"", 0.0)
        if operation != "add" and model:
            row = model.pop(draw % len(model))
            order.remove(row)
        if operation != "remove":
            model.insert(0, row)
            order.add_in_front(row)
    assert list(order) == model
    assert len(order) == len(model)
    for first in range(0, len(model) + 10, 100):
        assert order.slice(first, first + 100) == model[first : first + 100]
    assert [order.at(place) for place in range(len(model))] == model


def test_blocks_that_ran_empty_are_packed_again() -> None:
    """Moving rows about for long leaves no more than a few blocks that are not full."""
    order = RecencyOrder()
    rows = [FleetRow(str(number), b"", 0.0) for number in range(2000)]
    for row in rows:
        order.add_in_front(row)
    for round_number in range(20_000):
        row = rows[round_number * 7919 % 2000]
        order.remove(row)
        order.add_in_front(row)
    assert len(order._blocks) <= 2 * (2000 // BLOCK_ROWS) + 9
    assert len(order) == len(set(order)) == 2000
