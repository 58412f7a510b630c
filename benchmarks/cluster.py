"""A Ray cluster of two nodes, of which one is killed: every photo once, none lost, the same bytes.

    python -m benchmarks.cluster --photos=60

Needs the extra `cluster`. Both nodes are on this machine, each with one core and its own actor.
When each has done a few photos, one node is killed with all that runs on it; a third joins later.
The outputs are compared with those of one machine without Ray.
"""

import argparse
import collections
import json
import os
import tempfile
import time
from pathlib import Path

from benchmarks import campaign

_FEW = 5  # photos that each node does before one is killed


def _owners(output: Path) -> collections.Counter:
    """Photos done, by worker."""
    return collections.Counter(
        json.loads(path.read_text())["owner"] for path in (output / "done").glob("[!.]*")
    )


def _wait(process, reached) -> None:
    while not reached():
        if process.poll() is not None:
            raise SystemExit(f"benchmarks: the campaign ended with code {process.returncode}")
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="where the run of one machine is kept")
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        manifest = campaign.make(folder / "in", options.photos)
        expected = campaign.undisturbed(manifest, folder / "whole", 1)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        other = cluster.add_node(num_cpus=1)
        output = Path(temporary) / "cluster"
        process = campaign.start(manifest, output, f"--cluster={cluster.address}", "--device=cpu")
        try:
            _wait(process, lambda: sum(n >= _FEW for n in _owners(output).values()) >= 2)
            print(f"by worker before: {dict(_owners(output))}", flush=True)
            cluster.remove_node(other, allow_graceful=False)
            print("killed a node", flush=True)
            before = _owners(output).total()
            _wait(process, lambda: _owners(output).total() >= before + _FEW)
            cluster.add_node(num_cpus=1)
            print("another node joins", flush=True)
            found = campaign.summary(process)
        finally:
            process.kill()
            process.wait()
            cluster.shutdown()
        print(f"by worker after: {dict(_owners(output))}")
        campaign.tell(found, expected, campaign.outputs(output))


if __name__ == "__main__":
    main()
