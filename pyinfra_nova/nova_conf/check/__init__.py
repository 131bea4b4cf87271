"""Says what is wrong with any nova.conf, for a release and a role, without Nova or oslo.config.

``python -m pyinfra_nova.check`` is its command line.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra_nova.knowledge.releases import load
from pyinfra_nova.nova_conf.check.config import Config, Finding, Kind, Level, Role, Source
from pyinfra_nova.nova_conf.check.options import LEAVE_OUT, option_findings
from pyinfra_nova.nova_conf.check.rules import rule_findings
from pyinfra_nova.nova_conf.ini import NotIni

__all__ = ["LEAVE_OUT", "Finding", "Kind", "Level", "NotIni", "Role", "Source", "findings"]


def findings(
    files: Sequence[Source], release: str, role: Role, *, all_names: bool = False
) -> list[Finding]:
    """What is wrong with FILES, which one service reads in that order; line by line.

    Args:
        all_names: show what stands for an option even where it may be a part of a secret.

    Raises:
        NotIni: oslo.config would refuse a file.
        KeyError: RELEASE is not in ``releases.VERSIONS``.
    """
    if not files:
        return []
    config = Config(files, load(release), role)
    order = {file.name: number for number, file in enumerate(files)}
    found = dict.fromkeys([*option_findings(config, all_names=all_names), *rule_findings(config)])
    return sorted(found, key=lambda f: (order[f.file], f.line, f.section, f.option, f.kind))
