import json
import logging


def handler(event, context):
    """The event is bytes; what is returned becomes JSON, unless it is bytes or str already."""
    name = json.loads(event or b'{}').get('name', 'world')
    logging.getLogger().info('greeting %s', name)
    return {'greeting': 'Hello, %s!' % name, 'requestId': context.request_id}
