"""
Sites for programs in guests, below one folder: netsites.py FOLDER ADDRESS CERTIFICATE KEY

Serves the files of FOLDER over HTTP on port 8000 and over TLS on port 8443 of ADDRESS. Prints a line when it does.
"""
import functools
import http.server
import ssl
import sys
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main():
    folder, address, certificate, key = sys.argv[1:]
    handler = functools.partial(Handler, directory=folder)
    plain = http.server.ThreadingHTTPServer((address, 8000), handler)
    tls = http.server.ThreadingHTTPServer((address, 8443), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    tls.socket = context.wrap_socket(tls.socket, server_side=True)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print("ready", flush=True)
    tls.serve_forever()


main()
