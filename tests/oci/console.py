#!/usr/bin/env python3
"""console.py: the two ends of a terminal that an engine has.

  console.py receive SOCKET OUT    listen on SOCKET, take the pty's master, say so (OUT.ready), copy what comes to OUT
  console.py pty OUT WAIT TEXT COMMAND...
                                   run COMMAND on a terminal of 40 rows, 100 columns; type TEXT once it printed WAIT;
                                   copy its output to OUT, exit with its status
"""
import array
import fcntl
import os
import pty
import socket
import struct
import sys
import termios


def copy(fd, out, wait=b"", text=b""):
    seen = b""
    with open(out, "wb", buffering=0) as file:
        while True:
            if text and wait in seen:
                os.write(fd, text)
                text = b""
            try:
                data = os.read(fd, 4096)
            except OSError:  # EIO: nobody has the other side open any more
                break
            if not data:
                break
            file.write(data)
            seen += data


def receive(path, out):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    connection, _ = listener.accept()
    _, ancillary, _, _ = connection.recvmsg(256, socket.CMSG_SPACE(4))
    (level, kind, data), = ancillary
    assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
    master = array.array("i", data)[0]
    with open(out + ".ready", "w"):
        pass
    os.write(master, b"typed\n")
    copy(master, out)


def run_on_pty(out, wait, text, command):
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        os.execvp(command[0], command)
    copy(master, out, wait.encode(), text.encode().decode("unicode_escape").encode())
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


if sys.argv[1] == "receive":
    receive(sys.argv[2], sys.argv[3])
else:
    run_on_pty(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
