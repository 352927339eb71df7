'use strict';
/*
 * The inner end of runtime nodejs: fcnode-runtimes(7), fcnode-channel(7).
 *
 * Loads the handler, says READY, then answers one call after the other. The
 * channel is read and written with synchronous fs calls: fs is part of node's
 * start-up already (net and streams are not, and callers wait for the start),
 * and between two calls the function is to stand still anyway, as a frozen
 * instance does. While a call runs its event loop turns as always.
 */
const fs = require('fs');
const path = require('path');

const INVOKE = 1, EVENT = 2, READY = 16, INIT_ERROR = 17, REPLY = 18, ERROR = 19;
const LAST = 1, FRAME_MAX = 1 << 20, ERROR_MAX = 256 << 10;
const EXIT_INIT = 1, EXIT_FUNCTION = 1, EXIT_PROTOCOL = 70, EXIT_CHANNEL = 71;

const channel = Number(process.env.FC_CHANNEL_FD);
delete process.env.FC_CHANNEL_FD;
const env = process.env;
const exit = process.exit.bind(process); // the function may replace process.exit

let phase = 'init';  // init, idle, call, gone
let requestId = '';
let finish = null;   // ends the call in progress: finish(send)

// ---- channel ---------------------------------------------------------------

// What the caller sent beyond the frame being read.
let held = Buffer.alloc(0);

function lost(why) {
	phase = 'gone';
	fs.writeSync(2, `fcnode: channel lost: ${why}\n`);
	exit(EXIT_CHANNEL);
}

function callerGone() {
	phase = 'gone';
	exit(0);
}

function broken(why) {
	phase = 'gone';
	fs.writeSync(2, `fcnode: channel: ${why}\n`);
	exit(EXIT_PROTOCOL);
}

function readSome(buffer, offset) {
	try {
		const n = fs.readSync(channel, buffer, offset, buffer.length - offset, null);
		return n > 0 ? n : callerGone();
	} catch (err) {
		return err.code === 'ECONNRESET' ? callerGone() : lost(err.message);
	}
}

function read(size) {
	if (held.length >= size) {
		const data = held.subarray(0, size);
		held = held.subarray(size);
		return data;
	}
	const buffer = Buffer.allocUnsafeSlow(Math.max(size, 65536));
	let have = held.copy(buffer);
	while (have < size)
		have += readSome(buffer, have);
	held = buffer.subarray(size, have);
	return buffer.subarray(0, size);
}

function readFrame(type) {
	const header = read(8);
	const length = header.readUInt32LE(0);
	const flags = type === EVENT ? LAST : 0;
	const empty = type === EVENT && length === 0 && header[5] === 0;
	if (header[4] !== type || header[5] & ~flags || header[6] || header[7] || length > FRAME_MAX || empty)
		broken(`frame ${header.toString('hex')} where one of type ${type} was due`);
	return { last: (header[5] & LAST) !== 0, body: length ? read(length) : Buffer.alloc(0) };
}

function readEvent() {
	let frame = readFrame(EVENT);
	if (frame.last)
		return frame.body;
	const parts = [frame.body];
	while (!frame.last) {
		frame = readFrame(EVENT);
		parts.push(frame.body);
	}
	return Buffer.concat(parts);
}

function send(type, body, flags) {
	const header = Buffer.alloc(8);
	header.writeUInt32LE(body.length, 0);
	header[4] = type;
	header[5] = flags;
	try {
		let done = fs.writevSync(channel, [header, body]);
		while (done < 8)
			done += fs.writeSync(channel, header, done);
		while (done < 8 + body.length)
			done += fs.writeSync(channel, body, done - 8);
	} catch (err) {
		if (err.code === 'EPIPE' || err.code === 'ECONNRESET')
			callerGone();
		else
			lost(err.message);
	}
}

function sendReply(body) {
	let start = 0;
	for (; body.length - start > FRAME_MAX; start += FRAME_MAX)
		send(REPLY, body.subarray(start, start + FRAME_MAX), 0);
	send(REPLY, body.subarray(start), LAST);
}

// A reply of unknown length, each piece as it comes; an error of the iterator's is the call's.
async function sendStream(pieces) {
	for await (const piece of pieces) {
		if (phase !== 'call')
			return;
		const body = encode(piece);
		for (let start = 0; start < body.length; start += FRAME_MAX)
			send(REPLY, body.subarray(start, start + FRAME_MAX), 0);
	}
}

// ---- errors ----------------------------------------------------------------

function clip(text, limit) {
	return text.length <= limit ? text : `${text.slice(0, limit)}... (cut, ${text.length} characters)`;
}

// Whatever was thrown, as text; what is thrown may have any getters and no toString.
function attempt(fn, otherwise) {
	try {
		const value = fn();
		return typeof value === 'string' && value !== '' ? value : otherwise;
	} catch {
		return otherwise;
	}
}

function describe(err, handled) {
	const isError = err instanceof Error || (typeof err === 'object' && err !== null && 'stack' in err && 'message' in err);
	const message = isError ? attempt(() => `${err.message}`, '') :
		typeof err === 'string' ? err : attempt(() => JSON.stringify(err), attempt(() => String(err), typeof err));
	const type = isError ? attempt(() => err.name, 'Error') :
		attempt(() => err.constructor.name, err === null ? 'null' : typeof err);
	const stack = isError ? attempt(() => err.stack, '') : '';
	const lines = stack.split('\n').filter((line) => line !== '' && !line.includes(__filename) &&
		!/^\s+at .*\(?node:internal\//.test(line));
	const body = {
		errorMessage: clip(message, 8192), errorType: clip(type, 256),
		stackTrace: lines.slice(0, 80).map((line) => clip(line, 400)), handled,
	};
	const data = Buffer.from(JSON.stringify(body));
	if (data.length <= ERROR_MAX)
		return data;
	body.stackTrace = []; // a character can become 6 bytes
	return Buffer.from(JSON.stringify(body));
}

class ExitError extends Error {}
ExitError.prototype.name = 'ExitError';

// ---- logs ------------------------------------------------------------------

// Synchronous, so that a line printed before a kill is in the log. A pipe that
// process.stdout has made non-blocking can be full: the stream then takes the rest.
function writeLog(fd, text) {
	let rest = Buffer.from(text);
	try {
		while (rest.length > 0)
			rest = rest.subarray(fs.writeSync(fd, rest));
	} catch (err) {
		if (err.code === 'EAGAIN')
			(fd === 1 ? process.stdout : process.stderr).write(rest);
		// Otherwise nobody reads the log any more; the call goes on.
	}
}

const LEVELS = { log: [1, 'INFO'], info: [1, 'INFO'], debug: [1, 'DEBUG'], warn: [2, 'WARN'], error: [2, 'ERROR'] };

function logLine(level, args) {
	const [fd, label] = LEVELS[level];
	writeLog(fd, `${new Date().toISOString()} ${requestId} [${label}] ${require('util').format(...args)}\n`);
}

const logger = {};
for (const level of Object.keys(LEVELS)) {
	logger[level] = (...args) => logLine(level, args);
	console[level] = logger[level];
}
console.trace = (...args) => {
	const at = {};
	Error.captureStackTrace(at, console.trace);
	logLine('error', [`Trace: ${require('util').format(...args)}${at.stack.slice(at.stack.indexOf('\n'))}`]);
};

// ---- the function ----------------------------------------------------------

function makeContext(call, deadlineMs) {
	const version = env.FC_FUNCTION_VERSION, qualifier = env.FC_QUALIFIER;
	return {
		requestId: call.requestId || '',
		function: {
			name: call.functionName || env.FC_FUNCTION_NAME, handler: call.handler || env.FC_FUNCTION_HANDLER,
			memory: call.memorySize, timeout: call.timeout, initializer: env.FC_FUNCTION_INITIALIZER,
			versionId: version, qualifier,
		},
		credentials: { accessKeyId: undefined, accessKeySecret: undefined, securityToken: undefined, ...call.credentials },
		service: { name: env.FC_SERVICE_NAME, logProject: undefined, logStore: undefined, qualifier, versionId: version },
		region: env.FC_REGION, accountId: env.FC_ACCOUNT_ID, retryCount: 0, logger,
		traceparent: call.traceparent, tracestate: call.tracestate,
		getRemainingTimeInMillis: () => (deadlineMs ? Math.max(0, deadlineMs - Date.now()) : undefined),
	};
}

function findFile(base) {
	for (const suffix of ['', '.js', '.mjs', '.cjs']) {
		const stat = fs.statSync(base + suffix, { throwIfNoEntry: false });
		if (stat !== undefined && stat.isFile())
			return base + suffix;
	}
	return null;
}

async function loadModule(file) {
	if (!file.endsWith('.mjs')) {
		try {
			return require(file);
		} catch (err) {
			if (err.code !== 'ERR_REQUIRE_ESM' && err.code !== 'ERR_REQUIRE_ASYNC_MODULE')
				throw err;
		}
	}
	return import(require('url').pathToFileURL(file).href);
}

// `file.export`, the file below the code directory: index.handler, src/index.handler.
async function load(handler) {
	const dot = handler.lastIndexOf('.');
	if (dot <= 0 || dot === handler.length - 1)
		throw new TypeError(`handler '${handler}' is not of the form file.export`);
	const base = path.resolve(env.FC_FUNC_CODE_PATH || '/code', handler.slice(0, dot)), name = handler.slice(dot + 1);
	const file = findFile(base);
	if (file === null)
		throw new Error(`handler '${handler}': no file ${base}.js, .mjs or .cjs`);
	const module = await loadModule(file);
	// What an ES module imports of a CommonJS one can be under `default` alone.
	const fn = module[name] !== undefined ? module[name] : module.default && module.default[name];
	if (typeof fn !== 'function')
		throw new TypeError(`handler '${handler}': ${file} exports ${fn === undefined ? 'no' : `a ${typeof fn}, not a`} function '${name}'`);
	return fn;
}

// A handler answers by its promise, by its callback, or (with fewer parameters
// than would take a callback) by its return value.
function run(fn, args, done) {
	const callback = (err, value) => (err === null || err === undefined ? done(null, value, false) : done({ err }, undefined, true));
	let result;
	try {
		result = fn(...args, callback);
	} catch (err) {
		done({ err }, undefined, false);
		return;
	}
	if (result !== null && typeof result === 'object' && typeof result.then === 'function')
		result.then((value) => done(null, value, false), (err) => done({ err }, undefined, false));
	else if (fn.length <= args.length)
		done(null, result, false);
}

// A stream, an async iterator, a generator: its items are pieces of the reply.
function isStream(value) {
	return typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) &&
		(typeof value[Symbol.asyncIterator] === 'function' ||
		 (typeof value.next === 'function' && typeof value[Symbol.iterator] === 'function'));
}

// undefined is null, as JSON has it; what JSON cannot say is the function's error.
function encode(value) {
	if (Buffer.isBuffer(value))
		return value;
	if (value instanceof Uint8Array)
		return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
	if (value instanceof ArrayBuffer)
		return Buffer.from(value);
	if (typeof value === 'string')
		return Buffer.from(value);
	if (value === undefined)
		return Buffer.from('null');
	const text = JSON.stringify(value);
	if (text === undefined)
		throw new TypeError(`a handler's result cannot be a ${typeof value}`);
	return Buffer.from(text);
}

// The first answer counts; what comes later belongs to no call.
function call(handler, info, event) {
	let answered = false;
	requestId = info.requestId || '';
	phase = 'call';
	finish = (reply) => {
		if (answered)
			return;
		answered = true;
		phase = 'idle';
		finish = null;
		reply();
		setImmediate(next, handler);
	};
	const done = finish;
	run(handler, [event, makeContext(info, info.deadlineMs)], (failure, value, handled) => {
		if (failure !== null)
			return done(() => send(ERROR, describe(failure.err, handled), 0));
		if (isStream(value))
			return sendStream(value).then(() => done(() => send(REPLY, Buffer.alloc(0), LAST)),
				(err) => done(() => send(ERROR, describe(err, false), 0)));
		let body;
		try {
			body = encode(value);
		} catch (err) {
			return done(() => send(ERROR, describe(err, false), 0));
		}
		return done(() => sendReply(body));
	});
}

function next(handler) {
	const body = readFrame(INVOKE).body;
	let info;
	try {
		info = JSON.parse(body.toString());
	} catch (err) {
		broken(`INVOKE: ${err.message}`);
	}
	call(handler, info, readEvent());
}

// ---- life ------------------------------------------------------------------

// An error nobody caught: of the start, of the call, or (between calls) only a log line.
function fail(err) {
	if (phase === 'init')
		send(INIT_ERROR, describe(err, false), 0);
	else if (phase === 'call')
		send(ERROR, describe(err, false), 0);
	else
		logLine('error', ['uncaught outside of a call:', err]);
	phase = 'gone';
	exit(EXIT_FUNCTION);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

process.on('exit', (code) => {
	const err = new ExitError(`Process exited unexpectedly before completing request (exit status ${code})`);
	err.stack = '';
	if (phase === 'init')
		send(INIT_ERROR, describe(err, false), 0);
	else if (phase === 'call')
		send(ERROR, describe(err, false), 0);
});

// Nothing is left that could ever call back: say so now rather than at the time limit.
process.on('beforeExit', () => {
	if (phase !== 'init' && phase !== 'call')
		return;
	const what = phase === 'call' ? 'handler' : 'module or initializer';
	const err = new ExitError(`the ${what} neither finished nor left anything that could finish it (callback not called, promise not settled)`);
	err.stack = '';
	fail(err);
});

function setUpPaths() {
	const layer = '/opt/nodejs/node_modules';
	if (!fs.existsSync(layer))
		return;
	env.NODE_PATH = env.NODE_PATH ? `${env.NODE_PATH}:${layer}` : layer;
	require('module')._initPaths();
}

async function start() {
	setUpPaths();
	const handler = await load(env.FC_FUNCTION_HANDLER || '');
	if (env.FC_FUNCTION_INITIALIZER) {
		const initializer = await load(env.FC_FUNCTION_INITIALIZER);
		await new Promise((resolve, reject) => {
			run(initializer, [makeContext({}, 0)], (failure) => (failure === null ? resolve() : reject(failure.err)));
		});
	}
	return handler;
}

start().then((handler) => {
	phase = 'idle';
	send(READY, Buffer.alloc(0), 0);
	setImmediate(next, handler);
}, (err) => {
	send(INIT_ERROR, describe(err, false), 0);
	phase = 'gone';
	exit(EXIT_INIT);
});
