"""Log streams: the continuous archive of a server's binlog or WAL, which makes a point in time reachable."""
