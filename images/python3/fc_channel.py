"""The inner end of runtime python3: fcnode-runtimes(7), fcnode-channel(7).

Run by fc_runtime.py as __main__. Loads the handler, says READY, then answers
one call after the other. Start time is what callers wait for, so this file
imports only what the interpreter has loaded or built in; json, traceback and
logging come when they are needed.
"""
import os
import sys
import time

INVOKE, EVENT = 1, 2
READY, INIT_ERROR, REPLY, ERROR = 16, 17, 18, 19
LAST = 1
FRAME_MAX = 1 << 20
ERROR_MAX = 256 << 10
EXIT_INIT, EXIT_PROTOCOL, EXIT_CHANNEL = 1, 70, 71


class ChannelClosed(Exception):
    """The caller is gone: nobody waits for an answer any more."""


class ProtocolError(Exception):
    """The caller broke the rules of the channel."""


class Channel:
    """Frames over a blocking stream socket, through a descriptor that user code does not stumble over."""

    def __init__(self, fd):
        self.fd = self._move_up(fd)
        self.owner = os.getpid()
        self.buffer = b''
        os.set_blocking(self.fd, True)
        os.register_at_fork(after_in_child=self._forked)

    @staticmethod
    def _move_up(fd):
        # Out of the way of code that closes "all" descriptors or dup2()s onto small numbers.
        import fcntl
        for floor in (1000, 200, 20):
            try:
                high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, floor)
            except OSError:
                continue  # above RLIMIT_NOFILE
            os.close(fd)
            return high
        os.set_inheritable(fd, False)
        return fd

    def _forked(self):
        # Only the process that was called answers; and the caller must see EOF when that one dies.
        if self.fd >= 0:
            try:
                os.close(self.fd)
            except OSError:
                pass  # the function closed it before it forked
        self.fd = -1

    def _read(self, size):
        if len(self.buffer) >= size:
            data, self.buffer = self.buffer[:size], self.buffer[size:]
            return data
        parts, missing = [self.buffer], size - len(self.buffer)
        self.buffer = b''
        while missing > 0:
            try:
                chunk = os.read(self.fd, max(missing, 65536))
            except ConnectionError:
                chunk = b''
            if not chunk:
                raise ChannelClosed
            parts.append(chunk)
            missing -= len(chunk)
        data = b''.join(parts)
        if missing < 0:
            data, self.buffer = data[:size], data[size:]
        return data

    def _frame(self, kind):
        header = self._read(8)
        length = int.from_bytes(header[:4], 'little')
        flags = LAST if kind == EVENT else 0
        empty = kind == EVENT and length == 0 and not header[5]
        if header[4] != kind or header[5] & ~flags or header[6] or header[7] or length > FRAME_MAX or empty:
            raise ProtocolError('frame %s where one of type %d was due' % (header.hex(), kind))
        return header[5] & LAST, self._read(length)

    def receive(self):
        """The next call: its INVOKE body and the event, both bytes."""
        invoke = self._frame(INVOKE)[1]
        last, event = self._frame(EVENT)
        if not last:
            parts = [event]
            while not last:
                last, part = self._frame(EVENT)
                parts.append(part)
            event = b''.join(parts)
        return invoke, event

    def send(self, kind, body=b'', flags=0):
        header = len(body).to_bytes(4, 'little') + bytes((kind, flags, 0, 0))
        try:
            done = os.writev(self.fd, (header, body))
            if done < 8 + len(body):
                rest = memoryview(header + bytes(body))[done:]
                while rest:
                    rest = rest[os.write(self.fd, rest):]
        except ConnectionError:
            raise ChannelClosed from None

    def send_reply(self, body):
        view = memoryview(body).cast('B') if len(body) else b''
        for start in range(0, len(view) - FRAME_MAX, FRAME_MAX):
            self.send(REPLY, view[start:start + FRAME_MAX])
        tail = (len(view) - 1) // FRAME_MAX * FRAME_MAX if len(view) else 0
        self.send(REPLY, view[tail:], LAST)


    def send_stream(self, pieces):
        """A reply of unknown length, each piece as it comes. An error of the iterator's is the call's."""
        for piece in pieces:
            body = encode(piece)
            if body:
                flush()
                for start in range(0, len(body), FRAME_MAX):
                    self.send(REPLY, memoryview(body)[start:start + FRAME_MAX])
        flush()
        self.send(REPLY, b'', LAST)


class Struct:
    """Attributes by name, as Function Compute's context has them."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __repr__(self):
        return '%s(%s)' % (type(self).__name__, ', '.join('%s=%r' % item for item in self.__dict__.items()))


class Context(Struct):
    """What a handler learns about its call; fields that this node does not fill are None."""

    @property
    def requestId(self):
        return self.request_id

    @property
    def logger(self):
        import logging  # the hook below has set it up
        return logging.getLogger()

    def get_remaining_time_in_millis(self):
        if not self.deadline_ms:
            return None
        return max(0, int(self.deadline_ms - time.time() * 1000))


def make_context(call):
    env = os.environ.get
    version, qualifier = env('FC_FUNCTION_VERSION'), env('FC_QUALIFIER')
    key = call.get('credentials') or {}
    key_id, secret, token = (key.get(name) for name in ('accessKeyId', 'accessKeySecret', 'securityToken'))
    return Context(
        request_id=call.get('requestId', ''),
        deadline_ms=call.get('deadlineMs'),
        function=Struct(name=call.get('functionName') or env('FC_FUNCTION_NAME'),
                        handler=call.get('handler') or env('FC_FUNCTION_HANDLER'),
                        memory=call.get('memorySize'), timeout=call.get('timeout'),
                        version_id=version, qualifier=qualifier),
        credentials=Struct(access_key_id=key_id, access_key_secret=secret, security_token=token,
                           accessKeyId=key_id, accessKeySecret=secret, securityToken=token),
        service=Struct(name=env('FC_SERVICE_NAME'), log_project=None, log_store=None,
                       qualifier=qualifier, version_id=version),
        region=env('FC_REGION'), account_id=env('FC_ACCOUNT_ID'),
        log_project=None, log_store=None, retry_count=0,
        traceparent=call.get('traceparent'), tracestate=call.get('tracestate'))


class LoggingHook:
    """Sets up the root logger when, and only when, the function imports logging."""

    request_id = ''

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != 'logging':
            return None
        sys.meta_path.remove(cls)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            cls.configure(module)
        spec.loader.exec_module = exec_module
        return spec

    @classmethod
    def configure(cls, logging):
        class Formatter(logging.Formatter):
            def formatTime(self, record, datefmt=None):
                return '%s.%03dZ' % (time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created)), record.msecs)

            def format(self, record):
                record.request_id = cls.request_id
                return super().format(record)

        class Handler(logging.StreamHandler):
            stream = property(lambda self: sys.stdout, lambda self, value: None)

        handler = Handler(sys.stdout)
        handler.setFormatter(Formatter('%(asctime)s %(request_id)s [%(levelname)s] %(message)s'))
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(logging.INFO)


def clip(text, limit):
    return text if len(text) <= limit else text[:limit] + '... (cut, %d characters)' % len(text)


def user_frames(tb):
    """The traceback from the first frame that is not this file's."""
    here = user_frames.__code__.co_filename
    while tb is not None and tb.tb_frame.f_code.co_filename == here:
        tb = tb.tb_next
    return tb


def describe(exc, message=None):
    """The JSON body of ERROR and INIT_ERROR, within the limit of its frame."""
    import json
    import traceback
    try:
        text = str(exc) if message is None else message
    except Exception as second:  # a __str__ that raises must not hide the first error
        text = '(its text cannot be had: %s)' % type(second).__name__
    try:
        lines = traceback.format_exception(type(exc), exc, user_frames(exc.__traceback__))
    except Exception:
        lines = [type(exc).__name__]
    lines = [line for chunk in lines for line in chunk.rstrip('\n').split('\n')]
    if len(lines) > 80:
        lines[40:-39] = ['... (%d lines cut)' % (len(lines) - 79)]
    body = {'errorMessage': clip(text, 8192), 'errorType': type(exc).__name__,
            'stackTrace': [clip(line, 400) for line in lines], 'handled': False}
    data = json.dumps(body).encode()
    if len(data) > ERROR_MAX:  # every character can become 12 bytes
        body['stackTrace'] = []
        data = json.dumps(body).encode()
    return data


def encode(result):
    """A handler's result as the bytes of the reply."""
    if isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode('utf-8')
    if isinstance(result, (bytearray, memoryview)):
        return bytes(result)
    if result is None:
        return b'null'
    import json
    return json.dumps(result, allow_nan=False).encode()


def is_stream(result):
    """An iterator (a generator, say, or an open file): its items are pieces of the reply."""
    return hasattr(result, '__next__') and hasattr(result, '__iter__')


def parse_call(body):
    """INVOKE's JSON. The scanner's C part alone does: package json brings in re, most of a cold start."""
    text = body.decode('utf-8')
    try:
        from _json import make_scanner
    except ImportError:  # an interpreter without it: slower, the same result
        import json
        call = json.loads(text)
    else:
        options = Struct(strict=True, object_hook=None, object_pairs_hook=None, parse_float=float,
                         parse_int=int, parse_constant=float, memo={})
        call = make_scanner(options)(text, 0)[0]
    if not isinstance(call, dict):
        raise ProtocolError('INVOKE is not a JSON object')
    return call


def load(handler):
    """`module.function` (`pkg.mod.function`, `dir/mod.function`) to the function."""
    module_name, dot, name = handler.replace('/', '.').rpartition('.')
    if not dot or not module_name or not name:
        raise ValueError("handler '%s' is not of the form module.function" % handler)
    __import__(module_name)
    module = sys.modules[module_name]
    try:
        function = getattr(module, name)
    except AttributeError:
        raise AttributeError("handler '%s': module '%s' (%s) has no function '%s'" % (
            handler, module_name, getattr(module, '__file__', None), name)) from None
    if not callable(function):
        raise TypeError("handler '%s': '%s' is a %s, not a function" % (handler, name, type(function).__name__))
    return function


def set_up_paths():
    code = os.environ.get('FC_FUNC_CODE_PATH') or '/code'
    paths = [code]
    paths += [p for p in os.environ.get('PYTHONPATH', '').split(':') if p]  # -I made the interpreter ignore it
    if os.path.isdir('/opt/python'):
        paths.append('/opt/python')
    sys.path[:0] = paths


def set_up_streams():
    # By line: what was printed before a kill is in the log. Never an error for an odd character.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding='utf-8', errors='backslashreplace', line_buffering=True)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # closed or replaced by the function: its log is its own


def start():
    """Load the function: the part of a start that is the author's. Returns the handler."""
    set_up_streams()
    set_up_paths()
    if 'logging' in sys.modules:
        LoggingHook.configure(sys.modules['logging'])
    else:
        sys.meta_path.insert(0, LoggingHook)
    handler = load(os.environ.get('FC_FUNCTION_HANDLER', ''))
    initializer = os.environ.get('FC_FUNCTION_INITIALIZER')
    if initializer:
        load(initializer)(make_context({}))
    return handler


def exit_status(exc):
    """The status that sys.exit(code) asks for, by the interpreter's own rules."""
    if exc.code is None:
        return 0
    return exc.code & 0xff if isinstance(exc.code, int) else 1


def must_be_owner(channel):
    """In a child that returned from the handler: it is not the one that was called."""
    if os.getpid() != channel.owner:
        flush()
        os._exit(0)


def answer(channel, handler, invoke, event):
    """One call. Returns the status to exit with, or None to go on."""
    call = parse_call(invoke)
    context = make_context(call)
    LoggingHook.request_id = context.request_id
    status = None
    try:
        reply, error = handler(event, context), None
        if is_stream(reply):
            must_be_owner(channel)
            channel.send_stream(reply)
            return None
        reply = encode(reply)
    except ChannelClosed:
        raise
    except SystemExit as exc:
        status = exit_status(exc)
        error = describe(exc, 'Process exited unexpectedly before completing request (exit status %d)' % status)
    except BaseException as exc:
        error = describe(exc)
    must_be_owner(channel)
    flush()
    if error is None:
        channel.send_reply(reply)
    else:
        channel.send(ERROR, error)
    return status


def serve(channel, handler):
    channel.send(READY)
    while True:
        invoke, event = channel.receive()
        status = answer(channel, handler, invoke, event)
        if status is not None:
            return status
        del invoke, event


def main():
    channel = Channel(int(os.environ.pop('FC_CHANNEL_FD')))
    try:
        try:
            handler = start()
        except BaseException as exc:
            must_be_owner(channel)
            flush()
            channel.send(INIT_ERROR, describe(exc))
            return EXIT_INIT
        must_be_owner(channel)
        return serve(channel, handler)
    except ChannelClosed:
        flush()
        return 0
    except ProtocolError as exc:
        print('fcnode: channel: %s' % exc, file=sys.stderr)
        return EXIT_PROTOCOL
    except OSError as exc:
        # The function closed or replaced the descriptor: it can neither answer nor be called again.
        print('fcnode: channel lost: %s (the function closed a descriptor that is not its own)' % exc, file=sys.stderr)
        return EXIT_CHANNEL


if __name__ == '__main__':
    # No atexit handlers, no waiting for threads: the sandbox ends with this process.
    os._exit(main())
