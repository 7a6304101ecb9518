"""Actors on a real NVIDIA GPU: whose device it is, what stays there, how it passes, what is given back."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import Kernel

pytestmark = pytest.mark.gpu

ACTORS = """
%load_ext cellmesh
import cellmesh as cm, gc, os, time

@cm.actor
class Net:
    def __init__(self, gigabytes=0):
        import torch
        self.torch = torch
        self.ballast = torch.empty(gigabytes << 30, dtype=torch.uint8, device="cuda")
    def devices(self):
        return os.environ["CUDA_VISIBLE_DEVICES"], self.torch.cuda.device_count()
    def uuid(self):
        return str(self.torch.cuda.get_device_properties(0).uuid)
    def make(self, size=1 << 20):
        made = self.torch.arange(size, dtype=self.torch.float32, device="cuda")
        return {"whole": made, "rest": made[100:]}
    def slow(self):
        a = self.torch.ones(4096, 4096, device="cuda")
        with self.torch.cuda.stream(self.torch.cuda.Stream()):
            for _ in range(100):
                a = (a @ a).clamp_(max=1)
            return a
    def read(self, made):
        return made["whole"][:3].tolist(), made["rest"][0].item(), made["whole"].device.type
    def write(self, made):
        made["whole"][100] = -1
        self.torch.cuda.synchronize()
        return made["rest"][0].item()
    def total(self, tensor):
        return tensor.sum().item()
    def hold(self, made):
        self.held = made["whole"]
    def again(self):
        return self.held
    def drop(self):
        del self.held
    def give(self, other):
        return other.read(self.make()).result()
    def used(self):
        gc.collect()
        self.torch.cuda.ipc_collect()
        return self.torch.cuda.memory_allocated()
    def eat(self, gigabytes):
        return self.torch.empty(gigabytes << 30, dtype=self.torch.uint8, device="cuda").numel()

def comes(check, seconds=30):
    end = time.monotonic() + seconds
    while not check() and time.monotonic() < end:
        time.sleep(0.01)
    return check()

def on_the_device():
    out = os.popen("nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits").read()
    return sum(int(line) for line in out.split())
"""


@pytest.fixture
def engine_name() -> str:
    return "embedded"


@pytest.fixture
def nets(kernel: Kernel) -> Kernel:
    torch = pytest.importorskip("torch")
    if not torch.version.cuda:
        pytest.skip("needs a torch that was built for CUDA")
    kernel.ok(ACTORS)
    return kernel


def test_each_sees_its_own_devices(nets: Kernel) -> None:
    nets.ok("a, b = Net.start(gpus=0.5), Net.start(gpus=0.5)")
    assert nets.ok("a.devices().result()[1], a.uuid().result() == b.uuid().result()").result == "(1, True)"
    nets.ok(
        "@cm.actor\nclass None_:\n    def devices(self):\n        return os.environ['CUDA_VISIBLE_DEVICES']"
    )
    assert nets.ok("None_.start().devices().result()").result == "''"


def test_a_result_stays_and_its_copy_is_on_the_cpu(nets: Kernel) -> None:
    nets.ok("a = Net.start(gpus=1)\nbefore = a.used().result()\nf = a.make()\ncm.wait([f]);")
    assert "4,194,304 bytes on GPU-" in nets.ok("str(f)").result
    assert nets.ok("a.used().result() - before").result == "4194304"
    nets.ok("made = f.result()\nmade['whole'][100] = 5")
    assert nets.ok("made['rest'][0].item(), made['whole'].device.type").result == "(5.0, 'cpu')"
    assert "4.2 MB by host memory" in nets.ok("print(cm.actors())").stdout
    assert nets.ok("del f; comes(lambda: a.used().result() == before)").result == "True"


def test_between_two_on_one_gpu_it_passes_by_ipc(nets: Kernel) -> None:
    nets.ok("a, b = Net.start(gpus=0.5), Net.start(gpus=0.5)\nbefore = a.used().result(), b.used().result()")
    nets.ok("f = a.make()")
    assert nets.ok("b.write(f).result(), a.read(f).result()").result == (
        "(-1.0, ([0.0, 1.0, 2.0], -1.0, 'cuda'))"
    )
    assert nets.ok("b.used().result() == before[1]").result == "True", "the memory is the other's"
    nets.ok("b.hold(f).result()\ndel f")
    assert nets.ok("a.used().result() > before[0]").result == "True"
    assert nets.ok("b.drop().result(); comes(lambda: a.used().result() == before[0])").result == "True"
    shown = nets.ok("print(cm.actors())").stdout
    assert "8.4 MB by CUDA IPC" in shown
    assert "host memory" not in shown


def test_what_is_borrowed_is_passed_on_as_its_own(nets: Kernel) -> None:
    nets.ok("a, b, c = [Net.start(gpus=0.3) for _ in range(3)]\nf = a.make()\nb.hold(f).result()")
    nets.ok("g = b.again()\ndel f")
    assert nets.ok("c.total(g).result() == a.total(g).result()").result == "True"
    assert "host memory" not in nets.ok("print(cm.actors())").stdout


def test_arguments_of_an_actors_own_calls_pass_by_ipc(nets: Kernel) -> None:
    nets.ok("a, b = Net.start(gpus=0.5), Net.start(gpus=0.5)\nbefore = a.used().result()")
    assert nets.ok("a.give(b).result()").result == "([0.0, 1.0, 2.0], 100.0, 'cuda')"
    assert "4.2 MB by CUDA IPC" in nets.ok("print(cm.actors())").stdout
    assert nets.ok("comes(lambda: a.used().result() == before)").result == "True"


def test_what_is_still_computed_is_waited_for(nets: Kernel) -> None:
    nets.ok("a, b = Net.start(gpus=0.5), Net.start(gpus=0.5)")
    assert nets.ok("b.total(a.slow()).result(), a.slow().result().sum().item()").result == (
        "(16777216.0, 16777216.0)"
    )


def test_a_dead_borrower_gives_back(nets: Kernel) -> None:
    nets.ok("a, b = Net.start(gpus=0.5), Net.start(gpus=0.5)\nbefore = a.used().result()\nf = a.make()")
    nets.ok("b.hold(f).result()\ndel f\nos.kill(b._caller.info.pid, 9)")
    assert nets.ok("comes(lambda: a.used().result() == before)").result == "True"


def test_between_two_gpus_it_passes_by_host_memory(nets: Kernel) -> None:
    if nets.ok("import torch; torch.cuda.device_count()").result in ("0", "1"):
        pytest.skip("needs two GPUs, and this machine has one")
    nets.ok("a, b = Net.start(gpus=1), Net.start(gpus=1)\nf = a.make()")
    assert nets.ok("b.read(f).result()").result == "([0.0, 1.0, 2.0], 100.0, 'cuda')"
    assert "4.2 MB by host memory" in nets.ok("print(cm.actors())").stdout


def test_a_full_gpu_is_told_with_who_holds_it_and_the_actor_goes_on(nets: Kernel) -> None:
    nets.ok("a, b = Net.start(1, gpus=0.5), Net.start(1, gpus=0.5)\nb.uuid().result()")
    shown = nets.run("a.eat(10_000).result()")
    assert "OutOfMemoryError" in shown.error
    assert "MiB in use" in shown.plain_traceback
    assert "This actor is process" in shown.plain_traceback
    told = subprocess.check_output(["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"])
    assert ("MiB by process" in shown.plain_traceback) == bool(told.strip()), "as far as the driver tells"
    assert nets.ok("a.eat(1).result() == 1 << 30").result == "True"


def test_memory_is_given_back_as_one_is_stopped(nets: Kernel) -> None:
    nets.ok("before = on_the_device()\na = Net.start(4, gpus=1)\na.uuid().result()")
    assert nets.ok("on_the_device() - before > 4000").result == "True"
    nets.ok("a.stop()")
    assert nets.ok("comes(lambda: on_the_device() - before < 256)").result == "True"


def test_a_model_is_back_on_its_gpu_after_a_crash(nets: Kernel) -> None:
    nets.ok(
        "@cm.actor(gpus=1, restarts=1)\nclass Trained:\n"
        "    def __init__(self):\n"
        "        import torch\n"
        "        self.net = torch.nn.Linear(64, 64).cuda()\n"
        "        self.same = self.net.weight.data\n"
        "        self.steps = torch.optim.Adam(self.net.parameters())\n"
        "    def step(self):\n"
        "        loss = self.net(self.net.weight).square().mean()\n"
        "        self.steps.zero_grad(); loss.backward(); self.steps.step()\n"
        "        return loss.item()\n"
        "    def state(self):\n"
        "        tied = self.same.data_ptr() == self.net.weight.data_ptr()\n"
        "        return self.net.weight.sum().item(), self.net.weight.device.type, tied\n"
        "    def die(self): os._exit(1)\n"
        "t = Trained.start()\nlosses = [t.step().result() for _ in range(5)]\nt.checkpoint().result()\n"
        "before = t.state().result()\nt.die().exception()"
    )
    assert nets.ok("t.state().result() == before, before[1:]").result == "(True, ('cuda', True))"
    assert nets.ok("t.step().result() < losses[-1]").result == "True"
