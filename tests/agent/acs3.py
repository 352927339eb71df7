"""Sign requests as the SDK does (ACS3-HMAC-SHA256), written after its description and not after our C, and send them over TCP."""
import datetime
import hashlib
import hmac
import http.client
import socket
import urllib.parse
import uuid

from agent import Reply


def date_text(seconds_from_now=0):
    t = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


def authorization(method, path, query, headers, payload_hash, key, secret):
    lower = {k.lower(): v.strip() for k, v in headers.items()}
    names = sorted(k for k in lower if k.startswith("x-acs-") or k in ("host", "content-type", "x-fcnode-tenant"))
    pairs = "&".join("%s=%s" % (urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                     for k, v in sorted(query.items()))
    canonical = "\n".join([method, path, pairs, "".join("%s:%s\n" % (n, lower[n]) for n in names), ";".join(names), payload_hash])
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    return "ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s" % (
        key, ";".join(names), hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest())


class Client:
    """One key at one address. request() may send something else than was signed: sent_* are what goes over the wire."""

    def __init__(self, port, key, secret, host="127.0.0.1"):
        self.host, self.port, self.key, self.secret = host, port, key, secret

    def head(self, method, path, query, body, skew=0, nonce=None, **headers):
        h = {"Host": "%s:%d" % (self.host, self.port), "x-acs-version": "2023-03-30", "x-acs-action": "Any",
             "x-acs-date": date_text(skew), "x-acs-signature-nonce": nonce or str(uuid.uuid4()),
             "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
             **{k.replace("_", "-"): v for k, v in headers.items()}}
        h["Authorization"] = authorization(method, path, query, h, h["x-acs-content-sha256"], self.key, self.secret)
        return h

    def send(self, method, path, query, headers, body, chunked=True):
        """As the SDK does, the body goes in chunks."""
        url = path + ("?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote) if query else "")
        c = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            c.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
            for k, v in headers.items():
                c.putheader(k, v)
            if body and chunked:
                c.putheader("Transfer-Encoding", "chunked")
            elif body:
                c.putheader("Content-Length", str(len(body)))
            c.endheaders(iter([body]) if body and chunked else body or None, encode_chunked=bool(body and chunked))
            return Reply(c.getresponse())
        finally:
            c.close()

    def request(self, method, path, body=b"", query=None, sent_method=None, sent_path=None, sent_query=None, sent_body=None,
                sent_headers=None, chunked=True, **signed):
        head = self.head(method, path, query or {}, body, **signed)
        for k, v in (sent_headers or {}).items():
            if v is None:
                head.pop(k)
            else:
                head[k] = v
        return self.send(sent_method or method, sent_path or path, query if sent_query is None else sent_query, head,
                         body if sent_body is None else sent_body, chunked)

    def raw(self, data, timeout=20):
        s = socket.create_connection((self.host, self.port), timeout)
        out = b""
        try:
            s.sendall(data)
            while piece := s.recv(65536):
                out += piece
        except ConnectionResetError:
            pass
        finally:
            s.close()
        return out
