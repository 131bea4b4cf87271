"""Mend what an audit has found, on the primary controller.

Request: as of cloud_audit.py, and {"repairs": [keys of findings]}
Answer:  {"repairs": [{"key", "outcome", "said"}]}, in the order of the request
Nothing is done for what an audit said a while ago: each finding has to be there again in records
that are read right before, with the same key and the same repair. What no longer is found is left
alone, and so is everything once a service has not answered. Outcomes:
  mended    done, and no longer found
  remains   done, and still found
  unproven  done, and nobody could look whether it is still found
  unneeded  no longer found, so nothing was done
  refused   the service or a look at it said no, so nothing was done
  failed    there was no answer: it may have been done or not
  untried   nothing was done, because nobody could look, or because of what failed before
"""

import api_repairs
import evidence
import rest
import sql
import sql_repairs
from cloud_audit import judged
from repair_steps import Refused, Session, nova_manage

AT_ONCE = 20
"""How many are mended before the records are read again."""
NO = (400, 404, 409)
"""Statuses with which a service, asked to change something, says that it has not."""


def map_hosts(session, each, held):
    """Map the hosts of cells that are not mapped.

    A discovery looks at nodes that are not flagged as mapped; one that is, but has lost its
    mapping, is found by its service alone (nova/objects/host_mapping.py).
    """
    host = each["repair"].get("host", each["where"])
    nodes = session.seen.databases["compute_nodes"]
    is_flagged = any(node["mapped"] for node in nodes if node["host"] == host)
    more = ("--by-service",) if is_flagged else ()
    return nova_manage(session, "cell_v2", "discover_hosts", "--verbose", *more)


def sync_aggregates(session, each, held):
    """Have in Placement's aggregates what is in Nova's; it takes nothing out of them."""
    return nova_manage(session, "placement", "sync_aggregates", "--verbose")


def is_no(error):
    """Whether ERROR is the word of who was asked that nothing was changed."""
    if isinstance(error, rest.ErrorStatus):
        return error.status in NO
    return isinstance(error, sql.NoAnswerError) and error.undone


def nothing(session, repair):
    return None


ACTIONS = {
    "map-hosts": (nothing, map_hosts),
    "delete-service": (nothing, api_repairs.delete_service),
    "delete-allocation": (api_repairs.allocations, api_repairs.delete_allocation),
    "end-migration": (nothing, sql_repairs.end_migration),
    "sync-aggregates": (nothing, sync_aggregates),
}
"""For each action what is read before the records, and what is done after; in this order.

What may end with an error although it has done its work comes last: nothing is done after that.
"""
MORE = {"delete-service": ("broker",)}
"""What is read again beside the records."""


class Run:
    """What has come of the repairs so far.

    Attributes:
        found: the findings of the last look, by their keys.
        lacking: what has not answered then, without which there may be more findings.
        known: the keys that were found in the first look, in which `lacked` had not answered.
        outcomes: the outcome and what is said of it, by key.
        done: the keys of what has been done.
        stopped: why nothing more is done.
    """

    def __init__(self, request):
        self.session = Session(request)
        self.found, self.lacking = {}, set()
        self.known, self.lacked = frozenset(), frozenset()
        self.outcomes, self.done = {}, set()
        self.stopped = None

    def look(self, sources=evidence.RECORDS):
        self.session.look(sources)
        found, skipped = judged(self.session.seen)
        self.found = {each["key"]: each for each in found}
        self.lacking = set().union(*skipped.values())

    def first_look(self):
        self.look()
        self.known, self.lacked = frozenset(self.found), frozenset(self.lacking)

    def is_gone(self, key):
        """Whether a finding is not there, and all has answered that it rests on."""
        missing = self.lacking - self.lacked if key in self.known else self.lacking
        return key not in self.found and not missing

    def is_wanted(self, key):
        """Whether a finding is there, and can be mended; why not is noted."""
        if key in self.found and self.found[key]["repair"]:
            return True
        if key in self.found:
            self.outcomes[key] = ("refused", "it is still so, but to mend it is not safe now")
        elif self.is_gone(key):
            self.outcomes[key] = ("unneeded", "it is no longer so")
        else:
            silent = self.session.seen.silent
            why = "; ".join(f"{source}: {silent[source]}" for source in sorted(self.lacking))
            self.outcomes[key] = ("untried", f"nobody could look whether it is still so: {why}")
        return False

    def mend(self, action, keys):
        """Mend the findings KEYS, which all want ACTION."""
        prepare, do = ACTIONS[action]
        wanted, held = {key: self.found[key] for key in keys}, {}
        for key, each in wanted.items():
            self.attempt(key, self.prepare, prepare, each, held)
        if not wanted or self.stopped:
            return
        self.look((*evidence.RECORDS, *MORE.get(action, ())))
        for key, before in wanted.items():
            if key in self.outcomes or self.stopped or not self.is_wanted(key):
                continue
            each = self.found[key]
            if each["repair"] == before["repair"]:
                self.attempt(key, self.do, do, each, held[key])
            else:
                self.outcomes[key] = ("refused", "it has just become another one")
        self.stopped = self.stopped or self.session.trouble

    def prepare(self, action, each, held):
        held[each["key"]] = action(self.session, each["repair"])

    def do(self, action, each, held):
        said = action(self.session, each, held)
        self.done.add(each["key"])
        self.outcomes[each["key"]] = ("unproven", said)

    def attempt(self, key, step, *arguments):
        """Take a STEP for KEY; once there was no whole answer, nothing more is asked."""
        if self.stopped:
            return
        try:
            step(*arguments)
        except Refused as error:
            self.outcomes[key] = ("refused", str(error))
        except evidence.FAILURES as error:
            if is_no(error):
                self.outcomes[key] = ("refused", str(error))
            else:
                self.stop(key, error)

    def stop(self, key, error):
        self.stopped = evidence.words_of(error)
        self.outcomes[key] = ("failed", self.stopped)

    def close(self):
        """Say of what was done whether it is still found."""
        if not self.done:
            return
        self.look()
        for key in self.done:
            _, said = self.outcomes[key]
            if key in self.found:
                self.outcomes[key] = ("remains", said)
            elif self.is_gone(key):
                self.outcomes[key] = ("mended", said)


def answer(request):
    keys = list(dict.fromkeys(request["repairs"]))
    run = Run(request)
    run.first_look()
    wanted = {key: run.found[key]["repair"]["action"] for key in keys if run.is_wanted(key)}
    for key, action in wanted.items():
        if action not in ACTIONS:
            run.outcomes[key] = ("refused", f"nobody knows how to {action}")
    for action in ACTIONS:
        mine = [key for key, its in wanted.items() if its == action]
        while mine and not run.stopped:
            part, mine = mine[:AT_ONCE], mine[AT_ONCE:]
            # The look before may have shown more than that what was done is gone.
            run.mend(action, [key for key in part if run.is_wanted(key)])
    run.close()
    because = f"nothing more was done after this: {run.stopped}"
    outcomes = [(key, *run.outcomes.get(key, ("untried", because))) for key in keys]
    return {
        "repairs": [{"key": key, "outcome": what, "said": said} for key, what, said in outcomes]
    }
