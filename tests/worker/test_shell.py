"""In a worker a cell finds what it finds in a notebook: magics, displays, figures, await. Real processes."""

from __future__ import annotations

import json

from worker.running import in_worker

_INLINE = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def test_making_the_shell_starts_no_thread_and_needs_no_matplotlib() -> None:
    (said,) = in_worker("say([threading.active_count(), 'matplotlib' in sys.modules])")
    assert said == [1, False]


def test_magics_and_commands_work() -> None:
    said = in_worker("""
        cell("x = 3\\n%time y = x + 1\\nfiles = !echo {x} two\\n!echo out {y}\\nfiles, bool(get_ipython())")
        say(loaded(reports[-1])[0])
        say([text for kind, text in shown() if kind == "stdout"][-1])
        say(runner.names())
        say(loaded(cell("%%time\\nz = 5\\nz + 1")) + runner.names())
    """)
    value, line, names, timed = said
    assert value == [["3 two"], True]
    assert line == "out 4\n"
    assert names == ["files", "x", "y"]
    assert timed == [6, "files", "x", "y", "z"]


def test_displays_updates_and_clears_are_messages() -> None:
    (said,) = in_worker("""
        cell('''
        from IPython.display import display, clear_output, HTML
        print("before")
        handle = display(HTML("<b>x</b>"), display_id="d")
        handle.update(HTML("<i>y</i>"))
        clear_output(wait=True)
        {"last": 1}
        '''.replace("\\n        ", "\\n"))
        say(shown())
    """)
    assert [kind for kind, _ in said] == ["stdout", "display", "update", "clear", "result"]
    assert said[1][1]["data"]["text/html"] == "<b>x</b>"
    assert said[1][1]["transient"] == {"display_id": "d"}
    assert said[2][1]["transient"] == {"display_id": "d"}
    assert said[3] == ["clear", "wait"]
    assert said[4][1]["data"] == {"text/plain": "{'last': 1}"}


def test_figures_are_shown_after_a_cell_and_after_each_item() -> None:
    said = in_worker(
        """
        cell("import matplotlib.pyplot as plt\\nplt.plot([1, 2]);")
        say([[kind, sorted(data["data"])] for kind, data in shown()])
        outputs.clear(); reports.clear()
        def draw(x):
            import matplotlib.pyplot as plt
            plt.plot([1, x])
        task = TaskWire(0, "map", codec.dumps([(1,), (2,)]), ["f"], 2)
        runner.run(Run(2, 2, task, ""), {"f": codec.dumps(draw)})
        say([[kind, sorted(data["data"])] for kind, data in shown()])
        """,
        **_INLINE,
    )
    figure = ["display", ["image/png", "text/plain"]]
    assert said == [[figure], [figure, figure]]


def test_pickles_by_reference_to_main_resolve() -> None:
    (said,) = in_worker("""
        cell("class P:\\n    pass\\nimport pickle\\nisinstance(pickle.loads(pickle.dumps(P())), P)")
        say(loaded(reports[-1]))
    """)
    assert said == [True]


def test_captured_output_and_await_at_the_top() -> None:
    (said,) = in_worker("""
        report = cell("%%capture got\\nprint('kept')")
        cell("import asyncio\\nasync def f():\\n    return 7\\ngot.stdout, await f()")
        say(loaded(reports[-1])[0])
    """)
    assert said == ["kept\n", 7]


def test_a_large_display_is_a_segment() -> None:
    (said,) = in_worker("""
        from pathlib import Path
        from cellmesh.scheduler.objects import makers, segments
        runner.output._prefix = f"cmtest-{os.getpid()}-"
        makers.open_maker(runner.output._prefix, Path("/nowhere"))
        cell("from IPython.display import HTML\\nHTML('x' * 200_000)")
        (output,) = outputs
        text = bytes(segments.view(output.data)).decode()
        segments.unlink(output.data.name)
        say([type(output.data).__name__, text])
    """)
    kind, text = said
    assert kind == "Ref"
    assert json.loads(text)["data"]["text/html"] == "x" * 200_000


def test_leaving_the_shell_is_refused() -> None:
    (said,) = in_worker("say([loaded(cell('exit()'))[0].message])")
    assert "A worker does not end that way" in said[-1]
