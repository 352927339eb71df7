'use strict';

// The event is a Buffer; what is returned becomes JSON, unless it is a Buffer or a string already.
exports.handler = async (event, context) => {
	const { name = 'world' } = JSON.parse(event.length ? event.toString() : '{}');
	console.log('greeting %s', name);
	return { greeting: `Hello, ${name}!`, requestId: context.requestId };
};
