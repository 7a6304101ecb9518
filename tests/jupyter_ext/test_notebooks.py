"""The keys of notebooks: stable, and moving with the files."""

from __future__ import annotations

from cellmesh.jupyter_ext.notebooks import NotebookKeys, plain_path


def test_a_path_keeps_its_key_and_paths_have_different_ones() -> None:
    keys = NotebookKeys()
    assert keys.of("a.ipynb") == keys.of("/a.ipynb") != keys.of("b.ipynb")


def test_keys_follow_a_renamed_file_and_a_renamed_folder_above_it() -> None:
    keys = NotebookKeys()
    key, beside = keys.of("work/deep/a.ipynb"), keys.of("work-too/a.ipynb")
    keys.renamed("work/deep/a.ipynb", "work/deep/b.ipynb")
    keys.renamed("work", "play")
    assert keys.of("play/deep/b.ipynb") == key
    assert keys.of("work-too/a.ipynb") == beside
    assert keys.of("work/deep/a.ipynb") != key


def test_a_file_renamed_onto_another_takes_its_place() -> None:
    keys = NotebookKeys()
    key = keys.of("a.ipynb")
    keys.of("b.ipynb")
    keys.renamed("a.ipynb", "b.ipynb")
    assert keys.of("b.ipynb") == key


def test_a_folder_moved_into_itself_by_name_only() -> None:
    keys = NotebookKeys()
    key = keys.of("a/n.ipynb")
    keys.renamed("a", "a b")
    keys.renamed("a b", "a")
    assert keys.of("a/n.ipynb") == key


def test_a_deleted_notebook_drops_its_key() -> None:
    keys = NotebookKeys()
    key, other = keys.of("x/a.ipynb"), keys.of("y.ipynb")
    keys.deleted("x")
    assert keys.of("x/a.ipynb") != key
    assert keys.of("y.ipynb") == other


def test_a_kernel_whose_session_was_renamed_takes_its_key_along() -> None:
    keys = NotebookKeys()
    key = keys.kernel_at("k", "a.ipynb", {"a.ipynb"})
    assert keys.kernel_at("k", "b.ipynb", {"b.ipynb"}) == key


def test_a_kernel_that_another_notebook_also_uses_does_not_take_its_key() -> None:
    keys = NotebookKeys()
    key = keys.kernel_at("k", "a.ipynb", {"a.ipynb"})
    assert keys.kernel_at("k", "b.ipynb", {"a.ipynb", "b.ipynb"}) != key
    assert keys.of("a.ipynb") == key


def test_paths_of_collaboration_are_those_of_the_files() -> None:
    assert plain_path("RTC:work/a.ipynb") == "work/a.ipynb"
    assert plain_path("work/a: b.ipynb") == "work/a: b.ipynb"
    assert plain_path("Lesson 1: a.ipynb") == "Lesson 1: a.ipynb"
