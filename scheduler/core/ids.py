"""Names for the ids that travel through the scheduler, so that signatures say which is meant.

Owns only type names. Ids are made outside the core (by kernels and by the hub's shell) except worker
ids, which the core counts up from a base that the hub's epoch gives it.
"""

from typing import NewType

SessionId = NewType("SessionId", str)  # one notebook (or one script)
ClientId = NewType("ClientId", str)  # one kernel process's life
ActorId = NewType("ActorId", int)  # one actor, whatever processes it has had; made as jobs' ids are
JobId = NewType("JobId", int)  # one launch; unique over all clients: (client's nonce << 32) | count
TaskIndex = int  # a task's place in its job
WorkerId = NewType("WorkerId", int)  # one worker process's life; never reused
Attempt = int  # grows with every dispatch of every task; carries the hub's epoch in its high bits
