"""Reading pyinfra's plan."""

from pyinfra_nova.commands.plan import pending
from pyinfra_nova.session.typed_pyinfra import clean_environment


def test_only_real_changes_count_and_keep_their_order() -> None:
    plan = {
        "plan": [
            {"name": "b", "hosts_with_change": ["h2", "h1"], "hosts_with_conditional_change": []},
            {"name": "c", "hosts_with_change": [], "hosts_with_conditional_change": ["h1"]},
            {"name": "a", "hosts_with_change": ["h1"], "hosts_with_conditional_change": []},
        ]
    }
    assert list(pending(plan).items()) == [("b", ["h1", "h2"]), ("a", ["h1"])]


def test_no_variable_of_pyinfra_reaches_the_plan() -> None:
    environment = {"PYINFRA_YES": "1", "PATH": "/bin", "PYINFRA_NOVA_SECRETS": "x"}
    assert clean_environment(environment) == {"PATH": "/bin", "PYINFRA_NOVA_SECRETS": "x"}
