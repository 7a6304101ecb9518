"""`%%distributed`, `%%rank` and `%mesh`, as IPython knows them.

Owns the registration and the help texts; thin. Never does the work: `launch.py` and `mesh_magic.py` do. The
one frame of ours that is in a traceback is here, and hides itself. Read next: `launch.py`, `extension.py`.
"""

from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from . import launch, mesh_magic


@magics_class
class MeshMagics(Magics):
    """What `%load_ext cellmesh` brings."""

    @no_var_expand
    @cell_magic
    def distributed(self, line: str, cell: str) -> None:
        """Run this cell on every mesh worker, in namespaces that persist.

        %%distributed [options]
        %%distributed --over EXPR --as NAME [--out NAME]   once per element of EXPR, load-balanced
        %%distributed --actor NAME [--out NAME]            inside that actor's process; `self` is the object

        What the cell uses and the notebook has is sent by itself.

          --out NAME       the last expression's values, as a list (with --background: a handle; .result())
          --background     do not wait; Stop does not end it
          --workers SPEC   these workers only: 0,2-3
          -n N, --gpus N   so many workers, each with so many GPUs, if the mesh is not running yet
          --timeout S      cancel what still runs after S seconds
          --local          run the cell in the notebook, too
          --push NAMES     a,b: send the notebook's values, though the workers have their own
          --reload         with --actor: run the cell here, and move the actor to the class that it defines
          --setup          run the cell again on workers that replace dead ones
        """
        error = launch.distributed(self.shell, "%%distributed", line, cell)
        if error is not None:
            raise error

    @no_var_expand
    @cell_magic
    def rank(self, line: str, cell: str) -> None:
        """Run this cell on some mesh workers: %%rank [0,2-3]. The options are those of %%distributed."""
        error = launch.distributed(self.shell, "%%rank", line, cell)
        if error is not None:
            raise error

    @no_var_expand
    @line_magic
    def mesh(self, line: str) -> Any:
        """Status and control of the mesh.

        %mesh                               workers, jobs and other notebooks
        %mesh start [-n N] [--gpus N]       start workers (default: one a core, or one a GPU)
        %mesh scale N                       have N workers; on Dask, of the cluster, and the mesh follows
        %mesh scale N..M                    on Dask: as many workers as the work needs between the two
        %mesh stop                          end the workers; their variables go with them
        %mesh reset                         cancel jobs, forget results, fresh workers
        %mesh jobs                          this notebook's jobs
        %mesh attach [N]                    results of a job that survived a restart: r = %mesh attach 3
        %mesh logs [--worker N] [--job N] [--tail N]
        %mesh actors                        actors: what they hold, what they have done
        %mesh free NAME                     end an actor; what it held is free
        %mesh reload NAME                   move an actor to its class as it is now; it keeps its state
        %mesh save [NAME]                   keep detached actors over a restart of the server
        %mesh restore [NAME]                bring saved actors back
        %mesh connect embedded|inline       use another engine
        %mesh connect dask ADDRESS          use a Dask cluster: tls://host:8786 (--insecure: unencrypted;
                                            --checkpoints URL: where those of actors are kept)
        """
        return mesh_magic.run(self.shell, line)
