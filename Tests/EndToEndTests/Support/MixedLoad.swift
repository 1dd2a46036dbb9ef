import Foundation

/// An origin without TLS and clients of it through an edge: WebSockets, uploads and downloads that take their time, and HTTP/2. Each is begun
/// again when it has ended; what ends before its time is a failure.
final class MixedLoad {
    private let tool: InteractiveTool
    /// Of the origin.
    let port: UInt16

    init(in workspace: Workspace) throws {
        try workspace.write(Self.script, to: "mixed.py")
        self.tool = try InteractiveTool(
            "python3", [workspace.path("mixed.py"), workspace.path("roots.pem")], seconds: 280, in: workspace)
        try self.tool.wait(for: "\n")
        let word = self.tool.text.split(whereSeparator: \.isWhitespace).last.flatMap { UInt16($0) }
        guard let word else { throw Unusable(text: self.tool.text) }
        self.port = word
    }

    struct Unusable: Error {
        var text: String
    }

    /// Begins, at each of the sites.
    func begin(_ sites: [String], edge: UInt16) throws {
        try self.tool.send(([String(edge)] + sites).joined(separator: " ") + "\n")
        try self.tool.wait(for: "begun")
    }

    /// `websocket N, upload N, download N, http2 N, failed N [the first failures]`.
    func end() throws -> String {
        try self.tool.send("end\n")
        try self.tool.wait(for: ", failed ")
        return self.tool.text.split(separator: "\n").last.map(String.init) ?? ""
    }

    private static let script = """
        import http.server, os, socket, socketserver, ssl, subprocess, sys, threading, time
        BLOCK = bytes(range(256)) * 256
        class Origin(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def log_message(self, *words): pass
            def answer(self, body):
                self.send_response(200); self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store"); self.end_headers(); self.wfile.write(body)
            def do_GET(self):
                if self.path == "/ws":
                    self.send_response(101); self.send_header("Upgrade", "websocket")
                    self.send_header("Connection", "Upgrade"); self.end_headers()
                    while data := self.rfile.read1(65536): self.wfile.write(data)
                    self.close_connection = True
                elif self.path == "/big":
                    self.send_response(200); self.send_header("Content-Length", str(16 * len(BLOCK)))
                    self.send_header("Cache-Control", "no-store"); self.end_headers()
                    for _ in range(16): self.wfile.write(BLOCK); time.sleep(0.05)
                else: self.answer(b"from the origin")
            def do_POST(self):
                left = int(self.headers["Content-Length"]); got = 0
                while got < left:
                    data = self.rfile.read1(min(65536, left - got))
                    if not data: return
                    got += len(data)
                self.answer(b"%d" % got)
        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True; request_queue_size = 256
            # A client that is through with a WebSocket just goes.
            def handle_error(self, *words): pass
        origin = Server(("127.0.0.1", 0), Origin)
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        print(origin.server_port, flush=True)
        edge, *sites = sys.stdin.readline().split()
        context = ssl.create_default_context(cafile=sys.argv[1])
        end = threading.Event(); lock = threading.Lock(); failures = []
        counts = {"websocket": 0, "upload": 0, "download": 0, "http2": 0}
        def connect(site):
            return context.wrap_socket(socket.create_connection(("127.0.0.1", int(edge)), 20), server_hostname=site)
        def exactly(tls, count):
            data = b""
            while len(data) < count:
                part = tls.recv(count - len(data))
                if not part: raise OSError("closed after %d of %d bytes" % (len(data), count))
                data += part
            return data
        def head(tls):
            data = b""
            while not data.endswith(b"\\r\\n\\r\\n"): data += exactly(tls, 1)
            return data
        def websocket(site):
            with connect(site) as tls:
                tls.sendall(b"GET /ws HTTP/1.1\\r\\nHost: %s\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
                    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n" % site.encode())
                answer = head(tls)
                if b" 101 " not in answer: raise OSError("no upgrade: %r" % answer)
                for number in range(20):
                    tls.sendall(b"%08d" % number)
                    if exactly(tls, 8) != b"%08d" % number: raise OSError("another echo")
                    time.sleep(0.05)
        def upload(site):
            with connect(site) as tls:
                tls.sendall(b"POST / HTTP/1.1\\r\\nHost: %s\\r\\nContent-Length: %d\\r\\n\\r\\n" % (site.encode(), 16 * len(BLOCK)))
                for _ in range(16): tls.sendall(BLOCK); time.sleep(0.05)
                answer = head(tls); body = b"%d" % (16 * len(BLOCK))
                if b" 200 " not in answer or exactly(tls, len(body)) != body: raise OSError("answered %r" % answer)
        def download(site):
            with connect(site) as tls:
                tls.sendall(b"GET /big HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % site.encode())
                answer = head(tls)
                if b" 200 " not in answer: raise OSError("answered %r" % answer)
                for _ in range(16):
                    if exactly(tls, len(BLOCK)) != BLOCK: raise OSError("other bytes")
        def http2(site):
            done = subprocess.run(["curl", "-sS", "--http2", "--max-time", "20", "--cacert", sys.argv[1], "--connect-to",
                "::127.0.0.1:" + edge, "https://%s/?[1-20]" % site], capture_output=True)
            if done.returncode or done.stdout != b"from the origin" * 20: raise OSError("curl: %r" % done.stderr[:200])
        def again(what, site):
            while not end.is_set():
                try:
                    what(site)
                    with lock: counts[what.__name__] += 1
                except Exception as error:
                    with lock: failures.append("%s of %s: %r" % (what.__name__, site, error))
                    time.sleep(0.05)
        threads = [threading.Thread(target=again, args=(what, site))
            for what in (websocket, upload, download, http2) for site in sites]
        for thread in threads: thread.start()
        print("begun", flush=True)
        sys.stdin.readline(); end.set()
        for thread in threads: thread.join()
        print(", ".join("%s %d" % one for one in counts.items()) + ", failed %d %s" % (len(failures), failures[:3]), flush=True)
        """
}
