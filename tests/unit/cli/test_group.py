"""Commands are loaded when they are needed, and one whose extra is missing says which."""

import subprocess
import sys

from click.testing import CliRunner

from kew.cli.commands import COMMANDS, kew
from kew.cli.group import Group

HEAVY = ("kew.simulation", "kew.web", "fastapi", "uvicorn", "fakeredis")


def test_every_command_can_be_loaded_and_has_a_line_of_help():
    printed = CliRunner().invoke(kew, ["--help"])
    assert printed.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in printed.stdout


def test_a_command_loads_nothing_that_it_does_not_need():
    script = (
        "import sys; from kew.cli.commands import kew; kew.get_command(None, 'status');"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_command_whose_module_is_missing_says_which_and_harms_no_other():
    group = Group("kew", parts={"chart": "no_such_module:chart", "queue": COMMANDS["queue"]})
    listed = CliRunner().invoke(group, ["--help"])
    assert (listed.exit_code, "no_such_module" in listed.stdout) == (0, True)
    refused = CliRunner().invoke(group, ["chart", "--width", "3"])
    assert refused.exit_code == 2
    assert "needs the module 'no_such_module', which is not installed" in refused.stderr
