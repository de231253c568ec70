"""Spark sessions: worker processes of their own, and a Spark Connect server."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from include import connections
from include.organism.causal.engine_spark import DistributedCausalEngine
from include.organism.causal.spark_session import provide_java
from local.ports import answers, any_free

# For a few thousand rows, making machine code costs more than it saves: a minute on two cores.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
QUICK = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": JAVA,
    "spark.executor.extraJavaOptions": JAVA,
    "spark.ui.enabled": "false",
}
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


@pytest.fixture(scope="module")
def spark_home(tmp_path_factory):
    """PySpark's folder, linked, so that what worker processes write does not go into the environment."""
    import pyspark

    home = tmp_path_factory.mktemp("spark")
    for part in Path(pyspark.__file__).parent.iterdir():
        (home / part.name).symlink_to(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(home))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        # The workers have nothing of the project: what they need comes with the job.
        patch.delenv("PYTHONPATH", raising=False)
        yield home


@pytest.fixture(scope="module")
def two_workers(spark_home):
    """The distributed engine on two worker processes."""
    connection = {
        "conn_type": "spark",
        "host": "local-cluster[2,1,1024]",
        "extra": {"spark.executor.memory": "1024m", "spark.sql.shuffle.partitions": "4", **QUICK},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SPARK", json.dumps(connection))
        with connections.spark() as session:
            yield DistributedCausalEngine(session)
        _end_java()


def _end_java():
    """PySpark keeps its Java process until Python ends; the other tests need the memory."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(60)
    SparkContext._gateway = SparkContext._jvm = None


@pytest.fixture(scope="module")
def connect_server(spark_home, tmp_path_factory):
    """The address of a Spark Connect server in a process of its own."""
    provide_java()
    port, log = any_free(), tmp_path_factory.mktemp("connect") / "log"
    given = QUICK | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
    }
    command = [
        str(spark_home / "bin" / "spark-class"),
        "org.apache.spark.deploy.SparkSubmit",
        *("--class", SERVER, "--master", "local[1]"),
        *(part for name, value in given.items() for part in ("--conf", f"{name}={value}")),
        "spark-internal",
    ]
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=log.parent)
    try:
        deadline = time.monotonic() + 180
        while not answers(port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"sc://127.0.0.1:{port}"
    finally:
        for process in [*_children(server.pid), server]:
            process.terminate()
        server.wait(60)


def _children(pid):
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
