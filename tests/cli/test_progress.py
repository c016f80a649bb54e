"""The line that says how far a long command is."""

import io

import pytest

from langplug.cli import ProgressLine, draw_bar


class Screen(io.StringIO):
    """A terminal of 40 columns."""

    def isatty(self) -> bool:
        return True


class Gone(Screen):
    """A terminal whose window was closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture(autouse=True)
def _forty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_on_a_terminal_the_line_is_redrawn() -> None:
    """Each text replaces the one before and never fills the last column; a line that stays replaces it too."""
    screen = Screen()
    line = ProgressLine(screen)
    line.redraw("x" * 50)
    line.redraw("half")
    line.keep("done")
    assert "\r\x1b[K" + "x" * 39 + "\r\x1b[Khalf\r\x1b[Kdone\n" == screen.getvalue()


def test_elsewhere_only_lines_that_stay_are_written() -> None:
    """In a file or a pipe there are whole lines and no control characters."""
    file = io.StringIO()
    line = ProgressLine(file)
    line.redraw("half")
    line.keep("done")
    line.clear()
    assert (False, "done\n") == (line.redraws, file.getvalue())


def test_a_closed_terminal_stops_no_work() -> None:
    """Where nobody can look any more, nothing is shown, and nothing is raised."""
    line = ProgressLine(Gone())
    line.redraw("half")
    line.keep("done")
    assert not line.redraws


@pytest.mark.parametrize(("done", "total", "filled"), [(0, 10, 0), (5, 10, 12), (10, 10, 24), (0, 0, 0)])
def test_the_bar(done: int, total: int, filled: int) -> None:
    """The bar is filled as far as the work is done, and empty where there is none."""
    assert f"[{'#' * filled}{'.' * (24 - filled)}]" == draw_bar(done, total)
