"""Where blocks stand in a mesh, who their neighbours are, and which flags links take."""

import pytest

from ptoc.machine.chip import load_chip
from ptoc.machine.mesh import CORE_FLAGS, DIRECTIONS, FLAGS, OPPOSITE, Mesh, link_flags, link_of

MESH = Mesh(4, 3, 2, 2, 1024)  # cubes 0 1 2 over 3 4 5, four elements each


def test_links_in_a_cube_join_elements_in_a_row():
    assert [MESH.neighbour(block, 0, "E") for block in range(4, 8)] == [5, 6, 7, None]
    assert [MESH.neighbour(block, 0, "W") for block in range(4, 8)] == [None, 4, 5, 6]
    assert {MESH.neighbour(block, 0, direction) for block in range(24) for direction in "NS"} == {None}


def test_links_between_cubes_end_at_their_first_elements():
    assert [MESH.neighbour(4 * cube, 1, "E") for cube in range(6)] == [4, 8, None, 16, 20, None]
    assert [MESH.neighbour(4 * cube, 1, "S") for cube in range(6)] == [12, 16, 20, None, None, None]
    assert [MESH.neighbour(4 * cube, 1, "N") for cube in range(6)] == [None, None, None, 0, 4, 8]
    assert {MESH.neighbour(block, 1, direction) for block in range(24) if block % 4 for direction in DIRECTIONS} == {None}


def test_every_link_leads_back():
    links = [(block, axis, direction) for block in range(24) for axis in (0, 1) for direction in DIRECTIONS]
    pairs = [(link, MESH.neighbour(*link)) for link in links if MESH.neighbour(*link) is not None]
    assert len(pairs) == 6 * 6 + 8 + 6
    assert all(MESH.neighbour(other, axis, OPPOSITE[direction]) == block for (block, axis, direction), other in pairs)


def test_why_there_is_no_link():
    assert MESH.lacking(7, 0, "E") == "PE 3 of cube 1 has no neighbour to the east along axis 0 (4 PEs in a row, no wrap-around)"
    assert MESH.lacking(8, 1, "E") == "PE 0 of cube 2 has no neighbour to the east along axis 1 (3 x 2 cubes, no wrap-around)"
    assert MESH.lacking(5, 1, "W") == "PE 1 of cube 1 has no neighbour along axis 1: links between cubes end at PE 0"


def test_each_link_has_two_flags_of_its_own():
    flags = [flag for axis in (0, 1) for direction in DIRECTIONS for flag in link_flags(axis, direction)]
    assert flags == list(range(CORE_FLAGS, FLAGS))
    came, freed = link_flags(1, "N")
    assert link_of(came) == (1, "N")
    assert link_of(freed) == (1, "S")


@pytest.mark.parametrize(("chip", "expected"), [("mesh_cubes", (8, 64, 2)), ("sg2262", (1, 8, 8)), ("ascend910b1", None)])
def test_meshes_of_chips(chip, expected):
    mesh = load_chip(chip).mesh()
    assert (mesh and mesh[:3]) == expected
