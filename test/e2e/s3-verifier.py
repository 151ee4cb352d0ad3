# Stands in front of an S3 server that checks no signatures: lets through what is signed as botocore signs it, by the
# credentials that are known. Its own notion of a request is what came over the wire, decoded and encoded anew.
# usage: s3-verifier.py UPSTREAM_PORT ACCESS_KEY SECRET [SESSION_TOKEN]; prints its port, ends when its standard input does.
import datetime, hashlib, http.client, http.server, os, re, sys, threading
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

UPSTREAM, KEY, SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3]
TOKEN = sys.argv[4] if len(sys.argv) > 4 else None
PATTERN = re.compile(r'AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$')
BUCKET = 'caches'


class Refused(Exception):
    pass


def check(method, target, headers, body):
    match = PATTERN.match(headers.get('Authorization', ''))
    if match is None:
        raise Refused('AccessDenied', 'The Authorization header is missing or of another form.')
    key, day, region, names, signature = match.groups()
    if key != KEY:
        raise Refused('InvalidAccessKeyId', 'The AWS Access Key Id you provided does not exist in our records.')
    if headers.get('x-amz-security-token') != TOKEN:
        raise Refused('InvalidToken', 'The provided token is malformed or otherwise invalid.')
    names = names.split(';')
    unsigned = [name for name in headers if name.lower().startswith('x-amz-') and name.lower() not in names]
    if 'host' not in names or names != sorted(names) or unsigned:
        raise Refused('AccessDenied', 'There were headers present in the request which were not signed')
    time = headers['x-amz-date']
    sent = datetime.datetime.strptime(time, '%Y%m%dT%H%M%SZ').replace(tzinfo=datetime.timezone.utc)
    if not time.startswith(day) or abs(datetime.datetime.now(datetime.timezone.utc) - sent) > datetime.timedelta(minutes=15):
        raise Refused('RequestTimeTooSkewed', 'The difference between the request time and the current time is too large.')
    if headers['x-amz-content-sha256'] != hashlib.sha256(body).hexdigest():
        raise Refused('XAmzContentSHA256Mismatch', 'The provided x-amz-content-sha256 header does not match what was computed.')
    parts = urlsplit(target)
    query = '&'.join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in parse_qsl(parts.query, True))
    path = quote(unquote(parts.path), safe='/-_.~')
    request = AWSRequest(method, f"http://{headers['Host']}{path}" + (f'?{query}' if query else ''), {name: headers[name] for name in names})
    request.context['timestamp'] = time
    signer = S3SigV4Auth(Credentials(KEY, SECRET, TOKEN), 's3', region)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if signature != expected:
        raise Refused('SignatureDoesNotMatch', 'The request signature we calculated does not match the signature you provided. Check your key and signing method.')


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        # A client that takes this for its proxy names the whole address.
        absolute = re.match(r'http://[^/]*(/.*)$', self.path)
        target = absolute.group(1) if absolute else self.path
        try:
            check(self.command, target, self.headers, body)
            self.pass_on(target, body)
        except Refused as refusal:
            code, message = refusal.args
            self.answer(403, {'Content-Type': 'application/xml'}, f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode())

    def pass_on(self, target, body):
        # The bucket is part of the host's name, or of the path.
        if self.headers['Host'].startswith(f'{BUCKET}.'):
            target = f'/{BUCKET}{target}'
        dropped = ('host', 'authorization', 'x-amz-security-token', 'connection')
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped and not name.lower().startswith('proxy-')}
        headers['Authorization'] = self.headers['Authorization'].replace(f'Credential={KEY}/', 'Credential=S3RVER/')
        upstream = http.client.HTTPConnection('127.0.0.1', UPSTREAM)
        upstream.request(self.command, target, body or None, headers)
        answer = upstream.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in ('connection', 'keep-alive', 'transfer-encoding', 'date', 'server')}
        self.answer(answer.status, kept, answer.read())
        upstream.close()

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != 'content-length' or self.command == 'HEAD':
                self.send_header(name, value)
        if self.command != 'HEAD':
            self.send_header('Content-Length', str(len(body)))
        elif not any(name.lower() == 'content-length' for name in headers):
            self.send_header('Content-Length', '0')
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.server_address[1], flush=True)
server.serve_forever()
