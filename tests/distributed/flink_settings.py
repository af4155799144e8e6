"""How a Flink cluster is set up that fits a small machine and outlives one of its TaskManagers."""

from __future__ import annotations

from pathlib import Path

HOST = "127.0.0.1"
SLOTS = 2  # of one TaskManager, and all that a job takes: it goes on when the other TaskManager is lost

# What Flink's own configuration opens for Java 17: Kryo and the closure cleaner look into these.
_EXPORTS = (
    "java.base/sun.net.util",
    "java.management/sun.management",
    "java.rmi/sun.rmi.registry",
    "java.security.jgss/sun.security.krb5",
)
_OPENS = (
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)
JAVA_FLAGS = (
    *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS),
    *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS),
    "-XX:+UseSerialGC",  # the leanest one on a few cores
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)

# Flink's start script would work these out from one total of 1.5 GB.
TASK_MANAGER_MEMORY = {
    "taskmanager.cpu.cores": "2.0",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "512m",
    "taskmanager.memory.task.off-heap.size": "128m",
    "taskmanager.memory.managed.size": "256m",
    "taskmanager.memory.network.min": "256m",
    "taskmanager.memory.network.max": "256m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "64m",
    "taskmanager.memory.jvm-overhead.max": "64m",
}
TASK_MANAGER_FLAGS = ("-Xmx640m", "-XX:MaxDirectMemorySize=512m", "-XX:MaxMetaspaceSize=256m")


def cluster_settings(rpc_port: int, rest_port: int, temporary: Path) -> dict[str, str | int | bool]:
    """The content of Flink's config.yaml."""
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": HOST,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": rest_port,
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": SLOTS,
        "io.tmp.dirs": str(temporary),
        # A Beam job has dozens of edges at once, and the default is 16 MB for each.
        "taskmanager.network.sort-shuffle.min-buffers": 64,
        # A job works on every TaskManager, so that the loss of any one hits it.
        "cluster.evenly-spread-out-slots": True,
        # A killed TaskManager is missed after two heartbeats; a stalled one has the default's patience.
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 50000,
        # One loss is several failures: of the steps that ran there, of those that read from there, of those that are
        # sent there before it is missed. The delay outlasts that moment.
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 20,
        "restart-strategy.fixed-delay.delay": "3 s",
        # Beam's classes are on every process's own classpath. It is also what lets its workers be kept between stages.
        "classloader.resolve-order": "parent-first",
    }
