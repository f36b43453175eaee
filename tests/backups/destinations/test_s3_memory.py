"""What the S3 destination holds in memory."""

import json
import sys
import threading
import time

from drcenter.process import Command, run
from tests.backups.destinations import s3_server
from tests.backups.destinations.s3_fixtures import MIB, bucket, s3
from tests.backups.destinations.streams import Generated

__all__ = ["bucket", "s3"]


def test_two_parts_are_in_memory_at_a_time(s3, faulty):
    """The stream is not read ahead of a store that is slow."""
    faulty.add("slow", "PUT", "partNumber=1", seconds=0.5, times=1)
    given = []
    stream = Generated(80 * MIB, watch=given.append)
    thread = threading.Thread(target=s3.put, args=("a", stream))
    thread.start()
    time.sleep(0.4)
    assert max(given) <= 32 * MIB
    thread.join()


MEASURE = """
import json, sys, django
from django.conf import settings
settings.configure()
django.setup()
from backups.destinations import build
from tests.backups.destinations.streams import Generated
destination = build("s3", json.loads(sys.argv[1]))
destination.put("a", Generated(int(sys.argv[2])))
# Not ru_maxrss: a child inherits that from the process that started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(options, size):
    """The most memory, in MiB, that a process needed to put `size` bytes."""
    environment = {
        "TEST_S3_ACCESS_KEY": "x",
        "TEST_S3_SECRET_KEY": "y",
        "PYTHONPATH": ":".join(filter(None, sys.path)),
    }
    argv = (sys.executable, "-c", MEASURE, json.dumps(options), str(size))
    return int(run(Command(argv, env=environment), timeout=120).stdout) // 1024


def test_memory_does_not_grow_with_the_data(s3_port, bucket):
    options = s3_server.options(s3_port, bucket)
    small, large = peak(options, 64 * MIB), peak(options, 320 * MIB)
    assert large < 130
    assert large - small < 8
    s3_server.client(s3_port).delete_object(Bucket=bucket, Key="drc/a")
