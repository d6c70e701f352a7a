"""Run by test_processes.py: takes jobs as JSON lines, runs the jobs of a line in forked children at once, tells how
they ended. A fork of this small process, unlike a new one, is there in milliseconds."""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pyarrow.parquet as pq

from polyport.errors import ConflictError
from polyport.store import disk, drafts, iceberg, local, staging, sweep  # noqa: F401 - children start at once
from polyport.testing.store import PRODUCT, stage_table, table

DATASETS = ("movies", "studios")


def say(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def before(module, name):
    setattr(module, name, die)


def after(module, name):
    whole = getattr(module, name)
    setattr(module, name, lambda *args, **kwargs: (whole(*args, **kwargs), die()))


def publish(store, run, moment="never", text=None):
    newest = store.history(PRODUCT)[-1:]
    parent = newest[0].id if newest else None
    if moment == "while staging":
        after(staging.locks, "create")
    with store.stage(PRODUCT, run) as area:
        if moment == "before data":
            die()
        tables = {name: stage_table(area, name, table(text or run)) for name in DATASETS}
        if moment == "mid data":
            file = tables["studios"].files[0]
            file.write_bytes(file.read_bytes()[:100])
            die()
        if moment == "before publish":
            die()
        if moment == "before fsync":
            before(disk, "sync_all")
        if moment == "mid metadata":
            after(iceberg, "_manifest")
        if moment == "before the link":
            before(os, "link")
        if moment == "after the link":
            after(os, "link")
        made = store.publish(PRODUCT, tables, staging=area, inputs={}, parent=parent)
        if moment == "after publish":
            die()
        if moment == "while tidying":
            after(sweep, "unused")
    return made


def do_publish(job, store, _barrier):
    return publish(store, job["run"], job["moment"]).id


def do_expire(job, store, _barrier):
    if job["moment"] == "after the manifests":
        before(sweep, "unused")
    if job["moment"] == "between the manifests":
        after(Path, "unlink")
    if job["moment"] == "between the files":
        before(sweep, "_prune")
        whole, seen = Path.unlink, []

        def unlink(path, missing_ok=False):
            whole(path, missing_ok=missing_ok)
            if path.suffix != ".json" and not seen.append(path) and len(seen) == 2:
                die()

        Path.unlink = unlink
    return store.expire(PRODUCT, keep=job["keep"]).snapshots


def do_hold(job, store, _barrier):
    with store.hold(PRODUCT, job["ref"]):
        say("held")
        signal.pause()


def do_race(job, store, barrier):
    won, lost = [], []
    for number in range(1, job["rounds"] + 1):
        newest = store.history(PRODUCT)[-1:]
        parent = newest[0].id if newest else None
        with store.stage(PRODUCT, f"{job['name']}-{number}") as area:
            tables = {n: stage_table(area, n, table(job["name"])) for n in DATASETS}
            barrier.wait(timeout=60)
            try:
                won.append(
                    store.publish(PRODUCT, tables, staging=area, inputs={}, parent=parent).id
                )
            except ConflictError as error:
                lost.append([store.snapshot(PRODUCT, "latest").id, error.message])
        barrier.wait(timeout=60)
    return {"won": won, "lost": lost}


def do_write(job, store, _barrier):
    for number in range(1, job["count"] + 1):
        publish(store, f"run-{number}", text=str(number))


def do_sweep(job, store, _barrier):
    removed = 0
    while store.history(PRODUCT)[-1].sequence < job["until"]:
        removed += len(store.expire(PRODUCT, keep=2).snapshots)
    return removed


def do_read(job, store, _barrier):
    seen, last = 0, 0
    while last < job["until"]:
        with store.hold(PRODUCT, "latest") as held:
            texts = {
                pq.ParquetFile(file).read().column("title")[0].as_py()
                for name in DATASETS
                for file in store.files(held, name)
            }
        if held.sequence < last:
            raise ValueError(f"back from {last} to {held.sequence}")
        if held.sequence > 1 and texts != {str(held.sequence - 1)}:
            raise ValueError(f"snapshot {held.sequence} is {texts}")
        seen += held.sequence != last
        last = held.sequence
    return seen


def run(job, barrier, report):
    store = local.LocalStore(Path(job["root"]), iceberg=job.get("iceberg", True))
    answer = globals()[f"do_{job['do']}"](job, store, barrier)
    os.write(report, json.dumps(answer).encode())
    os._exit(0)


def start(job, barrier):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        run(job, barrier, writing)
    os.close(writing)
    return child, reading


def finish(child, reading):
    with os.fdopen(reading) as stream:
        said = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"code": code, "answer": json.loads(said) if said else None}


def main():
    for line in sys.stdin:
        jobs = json.loads(line)
        barrier = multiprocessing.get_context("fork").Barrier(len(jobs))
        children = [start(job, barrier) for job in jobs]
        if jobs[0]["do"] == "hold":
            say({"pid": children[0][0]})
        say([finish(*child) for child in children])


main()
