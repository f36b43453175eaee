"""Workloads of Kubernetes: the real kubectl, and an HTTP server that answers as the API server does."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from drcenter.errors import OperationFailed
from drcenter.systems.control import kubernetes
from drcenter.systems.control.kubernetes import KubernetesOptions, Plugin
from tests.drcenter.systems.control.ground import TestGround

RESOURCES = [
    {"name": plural + sub, "singularName": singular if not sub else "", "namespaced": True, "kind": kind if not sub else "Scale",
     "verbs": ["get", "list", "patch", "update"],
     **({"group": "autoscaling", "version": "v1"} if sub else {})}
    for plural, singular, kind in (("deployments", "deployment", "Deployment"), ("statefulsets", "statefulset", "StatefulSet"))
    for sub in ("", "/scale")
]  # fmt: skip
GROUP = {"groupVersion": "apps/v1", "version": "v1"}
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList", "apiVersion": "v1",
        "groups": [{"name": "apps", "versions": [GROUP], "preferredVersion": GROUP}],
    },
    "/apis/apps/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": RESOURCES},
}  # fmt: skip


class ApiServer(BaseHTTPRequestHandler):
    """Two workloads in the namespace *live*; pods follow the wish after `server.delay` seconds, but for the stuck."""

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        address = self.path.partition("?")[0]
        if address in DISCOVERY:
            self._answer(200, DISCOVERY[address])
        else:
            self._workload(address, None)

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._workload(self.path.partition("?")[0], body["spec"]["replicas"])

    do_PUT = do_PATCH

    def _workload(self, address: str, wish: int | None) -> None:
        kind, _, name = address.removeprefix("/apis/apps/v1/namespaces/live/").partition("/")
        name, _, sub = name.partition("/")
        found = self.server.workloads.get((kind, name))
        if found is None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                      "message": f"{kind} {name!r} not found"}  # fmt: skip
            return self._answer(404, status)
        if wish is not None:
            found |= {"wish": wish, "since": time.monotonic()}
            self.server.scaled.append((name, wish))
        late = found.get("stuck") or time.monotonic() - found["since"] < self.server.delay
        found["pods"] = found["pods"] if late else found["wish"]
        meta = {"name": name, "namespace": "live", "resourceVersion": "1"}
        if sub:
            return self._answer(200, {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
                                      "spec": {"replicas": found["wish"]}, "status": {"replicas": found["pods"]}})  # fmt: skip
        kinds = {"deployments": "Deployment", "statefulsets": "StatefulSet"}
        status = {"replicas": found["pods"], "readyReplicas": found["pods"]} if found["pods"] else {}
        return self._answer(200, {"kind": kinds[kind], "apiVersion": "apps/v1", "metadata": meta,
                                  "spec": {"replicas": found["wish"]}, "status": status})  # fmt: skip

    def _answer(self, code: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(kubernetes, "LOOK_SECONDS", 0.1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    server.delay, server.scaled = 0.3, []
    server.workloads = {
        ("deployments", "shop"): {"wish": 3, "pods": 3, "since": 0.0},
        ("statefulsets", "queue"): {"wish": 0, "pods": 0, "since": 0.0},
    }
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ground(tmp_path, monkeypatch):
    # kubectl keeps what it discovers below its home.
    monkeypatch.setenv("HOME", str(tmp_path))
    return TestGround(tmp_path)


def way(cluster, tmp_path, *workloads: str, **options) -> Plugin:
    path = tmp_path / "kubeconfig"
    address = f"http://127.0.0.1:{cluster.server_port}"
    path.write_text(
        json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        })
    )  # fmt: skip
    names = list(workloads or ("deployment/shop", "statefulset/queue"))
    return Plugin(
        {"namespace": "live", "workloads": names, "kubeconfig": str(path), "context": "test"} | options
    )


def test_as_many_come_back_as_there_were(cluster, ground, tmp_path):
    control = way(cluster, tmp_path)
    control.check(ground)
    before = control.look(ground)
    assert before == {"deployment/shop": 3, "statefulset/queue": 0}
    control.stop(ground, before)
    assert cluster.workloads["deployments", "shop"]["pods"] == 0
    control.start(ground, before)
    assert cluster.workloads["deployments", "shop"]["pods"] == 3
    assert cluster.scaled == [("shop", 0), ("queue", 0), ("shop", 3)]


def test_a_pod_that_does_not_end_is_told(cluster, ground, tmp_path):
    control = way(cluster, tmp_path, patience=1)
    cluster.workloads["deployments", "shop"]["stuck"] = True
    with pytest.raises(OperationFailed, match="has 3 pods after 1 s, not 0") as told:
        control.stop(ground, control.look(ground))
    assert "kubectl describe deployment/shop" in told.value.hint


def test_a_workload_that_there_is_none_of_is_told_before_anything_is_done(cluster, ground, tmp_path):
    with pytest.raises(OperationFailed, match="not found"):
        way(cluster, tmp_path, "deployment/shop", "deployment/nothing").check(ground)
    assert not cluster.scaled


@pytest.mark.parametrize(
    "name", ["shop", "pod/shop", "deployment/--all", "deployment/Shop", "deployment/a b"]
)
def test_names_that_are_no_workloads_are_refused(name):
    assert "workloads" in KubernetesOptions({"namespace": "live", "workloads": name, "patience": 300}).errors


@pytest.mark.parametrize("name", ["--all-namespaces", "a b", "-n"])
def test_a_namespace_is_no_option_of_kubectl(name):
    options = {"namespace": name, "workloads": "deployment/shop", "patience": 300}
    assert "namespace" in KubernetesOptions(options).errors
