"""Rows, text and HTML of the views."""

from cellmesh.scheduler.wire.messages import (
    ActorInfo,
    ActorOptions,
    HostInfo,
    HubInfo,
    JobInfo,
    SessionInfo,
    WorkerInfo,
)
from cellmesh.widgets import html, text
from cellmesh.widgets.viewmodel import JobRow, ProgressRow, WorkerRow, job_row, job_rows, mesh_rows
from cellmesh.widgets.views import JobsView, MeshView

WORKER = WorkerInfo(0, 7, 4242, "idle", [], ["model", "x"])
JOB = JobInfo(1, 3, "map", "map <f>", False, False, False, 100, 38, 2, 2, 0.0)
SESSION = SessionInfo("a", "a.ipynb", True, 2, [WORKER], [], [JOB])
OTHER = SessionInfo("b", "<b>.ipynb", False, 1, [], [5, 6], [])
HUB = HubInfo("user", 11, 10, 1, 2, 2, [], [SESSION, OTHER], 0.0)


def test_rows_of_the_own_session_and_one_line_for_others() -> None:
    rows = mesh_rows(HUB, "a")
    assert rows.head == "cellmesh hub 'user' (pid 11): 2 of 2 cores busy"
    assert rows.workers == (WorkerRow(0, 4242, "idle", "", "model, x"),)
    assert rows.jobs[0].progress == "40/100, 2 failed"
    assert [other.name for other in rows.others] == ["<b>.ipynb"]


def test_actors_are_listed_with_their_session_and_counted_for_others() -> None:
    told = ActorInfo(9, "llm", "Model", "a", "alive", "/s", 2, 77, ["0"], starter="a.ipynb", cell="[4]")
    own = SessionInfo("a", "a.ipynb", True, 0, [], [], [], [told])
    kept = ActorInfo(8, "", "Model", "*detached*", "starting", options=ActorOptions(detached=True))
    other = SessionInfo("*detached*", "detached actors", False, 0, [], [], [], [kept])
    rows = mesh_rows(HubInfo("user", 11, 10, 1, 2, 0, ["0"], [own, other], 0.0), "a")
    shown = text.mesh(rows)
    assert "llm   Model  alive (restart 1)  77   0" in shown
    assert "detached actors: needs no kernel, 0 slots in use" in shown
    assert shown.endswith("0 jobs running, 1 actor")
    assert "alive (restart 1)" in html.mesh(rows)
    assert "alive" not in text.mesh(mesh_rows(HubInfo("user", 11, 10, 1, 2, 0, [], [own], 0.0), "b"))


def test_hosts_of_a_cluster_are_listed_and_the_rest_of_many_counted() -> None:
    one = HostInfo("a", "0", 4, 8 * 10**9, 2 * 10**9, {"GPU": 1}, 3, [0, 1, 2, 5], ["llm"])
    hub = HubInfo("Dask at tcp://s:1", 11, 0, 1, 16, 3, ["g"], [SESSION], 0.0, hosts=[one])
    rows = mesh_rows(hub, "a")
    assert rows.head == "cellmesh on Dask at tcp://s:1: 1 host, 1 worker, 3 of 16 threads busy, 1 GPU"
    assert (
        "a     0            4        2.0 of 8.0 GB  1 GPU      mesh 0-2,5, 3 tasks, actor llm"
        in text.mesh(rows)
    )
    assert "actor llm" in html.mesh(rows)
    many = HubInfo("Dask", 11, 0, 1, 4000, 0, [], [SESSION], 0.0, hosts=[one] * 1000)
    assert "and 960 more" in text.mesh(mesh_rows(many, "a"))
    assert "and 960 more" in html.mesh(mesh_rows(many, "a"))


def test_many_names_are_cut_short() -> None:
    many = WorkerInfo(0, 7, 1, "idle", [], [f"n{i}" for i in range(20)])
    hub = HubInfo("user", 11, 10, 1, 2, 0, [], [SessionInfo("a", "a", True, 0, [many], [], [])], 0.0)
    assert mesh_rows(hub, "a").workers[0].names.endswith("n7, … 12 more")


def test_job_states() -> None:
    states = [
        job_row(JobInfo(1, 1, "map", "t", background, finished, cancelled, 1, 0, failed, 0, 0.0)).state
        for background, finished, cancelled, failed in [
            (False, False, False, 0),
            (True, False, False, 0),
            (False, True, False, 0),
            (False, True, False, 1),
            (False, False, True, 0),
            (False, True, True, 0),
        ]
    ]
    assert states == ["running", "background", "finished", "failed", "stopping", "cancelled"]


def test_text_tables_line_up() -> None:
    shown = text.workers([WorkerRow(0, 42, "idle", "", "x"), WorkerRow(10, 43, "busy", "0", "")])
    assert shown == (
        "worker  pid  state  gpus  names\n0       42   idle   -     x\n10      43   busy   0     -"
    )
    assert text.jobs([]) == "No jobs."


def test_progress_lines() -> None:
    running = ProgressRow("cell [5] ", "map f", 40, 100, 2, 3, 12.0, 5.0, False, "done")
    assert text.progress(running) == "cell [5] map f: 40/100, 2 failed, 12/s, ~5 s left"
    ended = ProgressRow("", "map f", 100, 100, 0, 8.2, 12.0, None, True, "done")
    assert text.progress(ended) == "map f: 100/100, done in 8.2 s"
    stopped = ProgressRow("", "map f", 3, 100, 1, 4.3, 12.0, 5.0, True, "stopped")
    assert text.progress(stopped) == "map f: stopped after 4 s (3/100 done, 1 failed)"
    assert "<progress" not in html.progress(stopped)


def test_html_escapes_everything_and_has_no_scripts() -> None:
    nasty = "<script>alert(1)</script>"
    row = JobRow(1, "map", nasty, "1/1", "finished", "now", nasty)
    session = SessionInfo("b", nasty, False, 1, [], [], [])
    hub = HubInfo(nasty, 11, 10, 1, 2, 2, [], [SESSION, session], 0.0)
    progress = ProgressRow(nasty, nasty, 1, 2, 0, 1.0, 1.0, 1.0, False, nasty)
    for markup in (html.jobs([row]), MeshView(hub, "a")._repr_html_(), html.progress(progress)):
        assert "<script" not in markup
        assert "&lt;script&gt;" in markup


def test_views_are_lists_and_show_both_forms() -> None:
    view = JobsView((JOB,), job_rows([(JOB, "[5]")]))
    assert (len(view), view[0], list(view)) == (1, JOB, [JOB])
    bundle = view._repr_mimebundle_()
    assert bundle["text/plain"] == repr(view)
    assert bundle["text/html"].startswith("<table>")


def test_results_show_a_bar_while_some_are_missing() -> None:
    assert html.results("<cellmesh.Results job 1>", 2, 5) == (
        '<div><progress value="2" max="5" style="width:16em"></progress> '
        "<code>&lt;cellmesh.Results job 1&gt;</code></div>"
    )
    assert "<progress" not in html.results("done", 5, 5)
    assert "<progress" not in html.results("endless", 5, None)


def test_what_runs_says_how_far_it_is() -> None:
    row = ProgressRow("", "map f", 3, 8, 0, 2.0, 0.0, None, False, "done", "item 3: 40% epoch")
    assert text.progress(row) == "map f: 3/8, 2 s so far · item 3: 40% epoch"
