"""A made-up run, in which every ratio can be worked out in the head."""

from __future__ import annotations

from bench.cells import Cell
from bench.results import Check, ClientCost, Growth, Limit, Measured, Results, Server, Settings, Visit

ONE, MANY, MIXED_ONE, MIXED = Cell("short", 1, 1), Cell("short", 1, 32), Cell("mixed", 1, 1), Cell("mixed", 1, 32)
ROUNDS = 3
SERVERS = (
    Server(name="tritonsmith fp32", title="tritonsmith FP32", family="ours", precision="fp32", engine="openvino fp32"),
    Server(name="tritonsmith bf16", title="tritonsmith BF16", family="ours", precision="bf16", engine="openvino bf16"),
    Server(name="tritonsmith int8", title="tritonsmith INT8", family="ours", precision="int8", engine="openvino bf16"),
    Server(name="slow", title="Slow peer", family="peer", precision="fp32", engine="torch fp32", versions={"torch": "7.7.7"}),
    Server(name="fast", title="Fast peer", family="peer", precision="fp32", engine="torch fp32"),
    Server(name="faulty", title="Faulty peer", family="peer", precision="fp32", engine="torch fp32"),
    Server(name="ort8", title="ORT INT8", family="peer", precision="int8", engine="onnxruntime", folder="fastapi_onnxruntime"),
    Server(name="gone", title="Gone peer", family="peer", precision="fp32", engine="x", problem="gone: does not install"),
)
RATES = {
    ("tritonsmith fp32", "http"): 240.0,
    ("tritonsmith bf16", "http"): 360.0,
    ("tritonsmith int8", "http"): 800.0,
    ("tritonsmith int8", "grpc"): 900.0,
    ("slow", "http"): 100.0,
    ("fast", "http"): 200.0,
    ("faulty", "http"): 5000.0,
    ("ort8", "http"): 500.0,
}
SPREAD = (0.5, 1.0, 1.1)
"""Of the rounds: the median is 1, the mean is not."""


def measured(server: str, road: str, cell: Cell, round_: int, rate: float, *, p50: float, p99: float) -> Measured:
    return Measured(
        server=server,
        road=road,
        round=round_,
        workload=cell.workload,
        rows=cell.rows,
        concurrency=cell.concurrency,
        requests=int(rate * 3),
        seconds=3.0,
        per_second=rate,
        p50=p50,
        p90=p50,
        p99=p99,
        p999=p99,
        errors=1 if server == "faulty" else 0,
        loader_cpu=0.3,
    )


def made() -> Results:
    """Three rounds of it."""
    results = Results(
        settings=Settings(seconds=3, rounds=ROUNDS),
        command="python -m bench run --seconds 3",
        commit="abc123def456",
        begun="2030-01-02 03:04 UTC",
        duration_s=2700,
        machine={"cpu": "Some CPU", "cores": 2, "memory_gib": 8.0, "system": "Linux 1.2"},
        versions={"openvino": "9.8.7", "wrk": "4.1.0"},
        texts={"short": {"length": "20 tokens", "texts": 512, "tokens_mean": 20.0}},
        servers=[server.model_copy(deep=True) for server in SERVERS],
    )
    for number, factor in enumerate(SPREAD):
        for (server, road), rate in RATES.items():
            p99 = 150.0 if server == "fast" else 120.0
            results.loads += [
                measured(server, road, MANY, number, rate * factor, p50=30.0, p99=p99),
                measured(server, road, MIXED, number, rate * factor / 2, p50=60.0, p99=2 * p99),
                measured(server, road, ONE, number, rate * factor / 4, p50=2.5 if road == "http" else 3.0, p99=5.0),
                measured(server, road, MIXED_ONE, number, rate * factor / 8, p50=4.0, p99=8.0),
            ]
        for server in RATES:
            idle = 0.4 if number == 0 else None
            memory = 600.0 if server[0].startswith("tritonsmith") else 1200.0
            if server[1] == "http":
                results.visits.append(
                    Visit(server=server[0], round=number, busy_before=1.0, start_s=2.0, memory_mib=memory, idle_percent=idle)
                )
        for workload, best in (("short", 1000.0), ("mixed", 500.0)):
            for rows, texts_per_s in ((1, best / 2), (8, best), (32, best * 0.9)):
                results.limits.append(
                    Limit(
                        precision="int8", round=number, workload=workload, rows=rows, texts_per_s=texts_per_s, p50=1.7, p99=2.0
                    )
                )
        results.growth.append(Growth(curve="length", line="1 at once", at=8, round=number, texts_per_s=100, p50=3, p99=4))
        for way, rate in (("Client, gRPC", 3000.0), ("a new one for each call", 300.0)):
            results.client.append(
                ClientCost(way=way, rows=1, round=number, per_second=rate / 2, per_core_second=rate + 100 * number)
            )
    results.growth_server = "tritonsmith int8"
    results.checks = [Check(server=server.name, road="http", mean=0.99995, least=0.999, texts=32) for server in SERVERS[:7]]
    return results
