'use strict';
// node -r unix.cjs: every plain HTTP request goes to the Unix socket FCNODE_SOCKET, whatever host it is for.
const http = require('http');
const request = http.request;
http.request = (options, callback) => {
	const to = typeof options === 'string' || options instanceof URL ? require('url').urlToHttpOptions(new URL(options)) : options;
	return request({ ...to, agent: undefined, socketPath: process.env.FCNODE_SOCKET }, callback);
};
