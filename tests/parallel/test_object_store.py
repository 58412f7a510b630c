"""A campaign in S3, as moto stands in for it: claims are exclusive there too."""

import threading

import pytest

from dippas_jax.io import storage
from dippas_jax.parallel import ledger, summary, worker
from dippas_jax.parallel.manifest import Item
from dippas_jax.parallel.worker import Task
from tests.parallel import stand_in

pytest.importorskip("s3fs", reason="s3fs is missing")
server = pytest.importorskip("moto.server", reason="moto is missing")


@pytest.fixture
def bucket(monkeypatch):
    """Its URL."""
    running = server.ThreadedMotoServer(port=0)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    storage.place("s3://photos").system.mkdir("photos")
    yield "s3://photos"
    running.stop()


@pytest.mark.filterwarnings("default")  # those of moto and of botocore
def test_workers_at_once_do_every_photo_once(bucket, tmp_path):
    (tmp_path / "log").mkdir()
    method = stand_in.Method(str(tmp_path / "log"), seconds=0.05)
    names = [f"photo {n}" for n in range(12)]
    for name in names:
        storage.write(storage.place(f"{bucket}/in/{name}.jpg"), name.encode())
    items = [Item(f"{bucket}/in/{name}.jpg") for name in (*names, "none")]
    root = ledger.begin(f"{bucket}/out", method.settings())
    task = Task(f"{bucket}/out", items, method)
    threads = [threading.Thread(target=worker.work, args=(task, f"w{n}")) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = summary.summarise(root, items)
    assert (found["done"], found["quarantined"], found["left"]) == (12, 1, 0)
    assert found["repeated"] == 0
    assert len(method.calls()) == 12
    outputs = storage.names(root / ledger.PHOTOS)
    data = {storage.read(root / ledger.PHOTOS / name, "photo") for name in outputs}
    assert data == {name.encode()[::-1] for name in names}
