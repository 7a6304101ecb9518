"""Short names for scripted tests of actors: one that starts them, and which of its commands are meant."""

from core_script import Script, W

from cellmesh.scheduler.core.actor_events import ActorEndAsked, ActorRequested, ActorSpec, ActorUp
from cellmesh.scheduler.core.commands import AnswerActor


class Stage(Script):
    """A script with actors; the request of an actor has its number."""

    def ask(self, actor=1, name="", same="1", session="s", replace=False, **spec):
        what = name, "Model", same, ActorSpec(**spec), replace
        return self.tell(ActorRequested(0.0, f"kernel of {session}", actor, session, actor, *what))

    def up(self, worker=W, actor=1, incarnation=1, failed=False):
        return self.tell(ActorUp(0.0, worker, actor, incarnation, failed))

    def stop(self, actor=1, why="was stopped"):
        return self.tell(ActorEndAsked(0.0, actor, why))

    def start(self, actor=1, **options):
        """One that answers calls; the process that it has."""
        self.ask(actor, **options)
        worker = self.state.actors[actor].worker
        self.ready(worker)
        self.up(worker, actor)
        return worker


def kinds(commands, *wanted):
    return [command for command in commands if isinstance(command, wanted)]


def answer(actor, why="", fresh=False, request=1):
    return AnswerActor("kernel of s", request, actor, why, fresh)
