import Foundation

/// Clients that ask for `/` of one site again and again: two on a new connection each time, without resumption, and one on a kept
/// connection. One that the edge closes between two requests, as it may, is asked again on another (RFC 9112 §9.3.1).
final class SteadyClients {
    private let tool: InteractiveTool

    init(_ site: String, port: UInt16, seconds: Int = 60, in workspace: Workspace) throws {
        try workspace.write(Self.script, to: "steady.py")
        self.tool = try InteractiveTool(
            "python3", [workspace.path("steady.py"), workspace.path("roots.pem"), String(port), site],
            seconds: seconds, in: workspace)
        try self.tool.wait(for: "begun")
    }

    /// `new N, kept N, failed N [the first failures]`.
    func end() throws -> String {
        try self.tool.send("end\n")
        try self.tool.wait(for: ", failed ")
        return self.tool.text
    }

    private static let script = """
        import ssl, socket, sys, threading, time
        roots, port, site = sys.argv[1:]
        context = ssl.create_default_context(cafile=roots)
        end = threading.Event(); counts = [0, 0]; failures = []
        def one(kept):
            tls = None; used = False
            while not end.is_set():
                answer = b""
                try:
                    if tls is None:
                        used = False
                        tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), 10), server_hostname=site)
                    tls.sendall(b"GET / HTTP/1.1\\r\\nHost: " + site.encode() + b"\\r\\n\\r\\n")
                    while not answer.endswith(b"from the origin"):
                        data = tls.recv(4096)
                        if not data: raise OSError("closed: %r" % answer)
                        answer += data
                    counts[kept] += 1; used = True
                    if b"onnection: close" in answer: tls.close(); tls = None
                except Exception as error:
                    if used and not answer: tls = None; continue
                    failures.append((site, kept, used, answer, error)); tls = None; time.sleep(0.05)
                if not kept and tls is not None: tls.close(); tls = None
        threads = [threading.Thread(target=one, args=(kept,)) for kept in (0, 0, 1)]
        for thread in threads: thread.start()
        print("begun", flush=True)
        sys.stdin.readline(); end.set()
        for thread in threads: thread.join()
        print("new %d, kept %d, failed %d %s" % (counts[0], counts[1], len(failures), failures[:3]), flush=True)
        """
}
