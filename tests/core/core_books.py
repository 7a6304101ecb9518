"""Books of what the core's commands told clients, which prove that each thing is told once.

Owns the counting. Never changes anything in the world. Read next: `core_world.py`.
"""

from collections import Counter

from cellmesh.scheduler.core import commands as c
from cellmesh.scheduler.core.tables import ACTOR_TRANSITIONS, TERMINAL, ActorState, TaskState

_AFTER_ANSWER = (ActorState.ALIVE, ActorState.RESTARTING)  # the answer to its start says that it starts


class Books:
    def __init__(self):
        self.delivered = Counter()
        self.settled = {}
        self.actors = {}  # the state that was told last
        self.forgotten = Counter()
        self.requests = Counter()

    def take(self, command, event):
        """This command came of this event."""
        match command:
            case c.DeliverItems(job, task, _, accepted):
                assert accepted, "an empty delivery"
                for position in accepted:
                    first, _, many = event.items[position]
                    for item in range(first, first + many):
                        key = (job, task, item)
                        self.delivered[key] += 1
                        assert self.delivered[key] == 1, f"delivered twice: {key}"
                    assert (job, task) not in self.settled, "delivered after the end"
            case c.LoseItem(job, task, item, why):
                self.delivered[job, task, item] += 1
                assert self.delivered[job, task, item] == 1, f"delivered, and lost: {command}"
                assert why
            case c.AnswerActor(client, request, actor, why, fresh):
                assert (client, request) == (event.client, event.request)
                assert (actor is None) == bool(why), "an actor, or why there is none"
                assert (actor == event.actor and self.actors.get(actor) is None) or not fresh
                self.requests[request] += 1
                if fresh:
                    self.actors[actor] = ActorState.WAITING
            case c.TellActor(actor, state):
                before = self.actors[actor]
                assert before is not ActorState.ENDED, f"told after its end: {command}"
                assert before is state or (before, state) in ACTOR_TRANSITIONS or state in _AFTER_ANSWER, (
                    command
                )
                self.actors[actor] = state
            case c.ForgetActor(actor):
                assert self.actors[actor] is ActorState.ENDED, f"forgotten alive: {command}"
                self.forgotten[actor] += 1
            case c.SettleTask(job, task, state, why):
                assert (job, task) not in self.settled, f"settled twice: {command}"
                assert state in TERMINAL
                assert bool(why) == (state in (TaskState.LOST, TaskState.CANCELLED, TaskState.TIMED_OUT)), (
                    command
                )
                self.settled[job, task] = state

    def prove_waits(self, state, paused):
        """Each actor was told of as it is, and waits for what was told, or for a stopped process."""
        for actor in state.actors.values():
            told = self.actors[actor.id]
            assert told is actor.state or actor.state is ActorState.STARTING, f"what was told last: {actor}"
            starts = actor.worker in paused
            assert actor.state is ActorState.ALIVE or actor.why or starts, f"waits untold: {actor}"

    def prove_ends(self, state):
        """Each actor has ended once, and nothing is kept of it."""
        assert not state.actors
        assert not state.names
        assert not state.homeless
        for actor, last in self.actors.items():
            assert last is ActorState.ENDED
            assert self.forgotten[actor] == 1
